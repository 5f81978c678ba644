// What the programs of this folder share: time, statistics in a file, G.711, WebSocket frames.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stopped;
static void on_signal(int number) { (void)number; stopped = 1; }

static inline double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void die(const char *what) {
  perror(what);
  exit(1);
}

// A file of counters that another process may read at any time.
static inline void *shared(const char *path, size_t size) {
  int file = open(path, O_RDWR | O_CREAT, 0644);
  if (file < 0 || ftruncate(file, (off_t)size) < 0) die(path);
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) die("mmap");
  memset(memory, 0, size);
  return memory;
}

static inline uint8_t ulaw(int sample) {
  int sign = (sample >> 8) & 0x80;
  if (sign) sample = -sample;
  if (sample > 32635) sample = 32635;
  sample += 132;
  int segment = 7;
  for (int bit = 0x4000; !(sample & bit) && segment > 0; bit >>= 1) segment--;
  return (uint8_t) ~(sign | segment << 4 | ((sample >> (segment + 3)) & 15));
}

static inline int16_t tone(long sample, double rate) {
  return (int16_t)(8000 * sin(2 * M_PI * 1000 * (double)sample / rate));
}

// The header of a frame from a server (RFC 6455 5.2): final, text, not masked. Returns its length.
static inline int frame_header(uint8_t *to, size_t length) {
  to[0] = 0x81;
  if (length < 126) {
    to[1] = (uint8_t)length;
    return 2;
  }
  if (length < 65536) {
    to[1] = 126;
    to[2] = (uint8_t)(length >> 8);
    to[3] = (uint8_t)length;
    return 4;
  }
  to[1] = 127;
  for (int i = 0; i < 8; i++) to[2 + i] = (uint8_t)((uint64_t)length >> (56 - 8 * i));
  return 10;
}

static inline int nonblocking_udp(int port, int buffer) {
  int made = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  setsockopt(made, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  setsockopt(made, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(made, (struct sockaddr *)&at, sizeof at) < 0) die("bind");
  return made;
}

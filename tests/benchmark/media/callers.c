// N callers: each sends 20 ms of PCMU 50 times a second, their phases spread over the 20 ms, and all
// note when packets come back, by the kernel's clock.
//
//   callers PORTS LOCAL_PORT SECONDS STATISTICS RECORDS
//
// PORTS: a file with the port of each call. STATISTICS: sent, received as two uint64. RECORDS is
// written at the end: for each packet call (uint32), sequence (uint16), payload bytes (uint16),
// nanoseconds (uint64, CLOCK_REALTIME).
#include "common.h"

enum { BATCH = 64, PACKET = 172 };

struct record {
  uint32_t call;
  uint16_t sequence, length;
  uint64_t at;
};

static int target[65536], calls;
static int call_of[65536];
static uint64_t *statistics;
static struct record *records;
static size_t recorded, room;

static void read_ports(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) die(path);
  for (int port; fscanf(file, "%d", &port) == 1; calls++) {
    target[calls] = port;
    call_of[port] = calls;
  }
  fclose(file);
}

static void receive(int port) {
  static uint8_t data[BATCH][256];
  static char control[BATCH][64];
  static struct sockaddr_in from[BATCH];
  static struct iovec parts[BATCH];
  static struct mmsghdr messages[BATCH];
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      parts[i] = (struct iovec){data[i], sizeof data[i]};
      messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i],
        .msg_iov = &parts[i], .msg_iovlen = 1, .msg_control = control[i], .msg_controllen = 64};
    }
    int n = recvmmsg(port, messages, BATCH, MSG_DONTWAIT, NULL);
    if (n <= 0) return;
    for (int i = 0; i < n; i++) {
      struct cmsghdr *stamp = CMSG_FIRSTHDR(&messages[i].msg_hdr);
      if (!stamp || messages[i].msg_len < 12 || recorded == room) continue;
      if (data[i][1] >= 200 && data[i][1] <= 204) continue;  // RTCP
      struct timespec at;
      memcpy(&at, CMSG_DATA(stamp), sizeof at);
      records[recorded++] = (struct record){(uint32_t)call_of[ntohs(from[i].sin_port)],
        (uint16_t)(data[i][2] << 8 | data[i][3]), (uint16_t)(messages[i].msg_len - 12),
        (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec};
    }
    statistics[1] += (uint64_t)n;
  }
}

int main(int count, char **argument) {
  if (count != 6) return 2;
  signal(SIGTERM, on_signal);
  read_ports(argument[1]);
  double seconds = atof(argument[3]);
  statistics = shared(argument[4], 2 * sizeof *statistics);
  room = (size_t)(calls * 50 * (seconds + 2));
  records = malloc(room * sizeof *records);
  int port = nonblocking_udp(atoi(argument[2]), 64 << 20), on = 1;
  setsockopt(port, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);

  static uint8_t data[BATCH][PACKET];
  static struct sockaddr_in to[BATCH];
  static struct iovec parts[BATCH];
  static struct mmsghdr messages[BATCH];
  for (int i = 0; i < BATCH; i++) {
    for (int at = 0; at < 160; at++) data[i][12 + at] = ulaw(tone(at, 8000));
    to[i] = (struct sockaddr_in){.sin_family = AF_INET};
    to[i].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    parts[i] = (struct iovec){data[i], PACKET};
    messages[i].msg_hdr = (struct msghdr){.msg_name = &to[i], .msg_namelen = sizeof to[i],
      .msg_iov = &parts[i], .msg_iovlen = 1};
  }
  double began = now(), step = 0.02 / calls;
  for (uint64_t next = 0; !stopped && now() - began < seconds;) {
    double until = now();
    int ready = 0;
    while (began + (double)next * step <= until) {
      uint32_t call = (uint32_t)(next % (uint64_t)calls), sequence = (uint32_t)(next / (uint64_t)calls);
      uint32_t timestamp = htonl(sequence * 160), ssrc = htonl(call + 1);
      uint8_t *packet = data[ready];
      packet[0] = 0x80, packet[1] = 0;
      packet[2] = (uint8_t)(sequence >> 8), packet[3] = (uint8_t)sequence;
      memcpy(packet + 4, &timestamp, 4), memcpy(packet + 8, &ssrc, 4);
      to[ready++].sin_port = htons((uint16_t)target[call]);
      next++;
      if (ready == BATCH || began + (double)next * step > until) {
        for (int sent = 0, n; sent < ready; sent += n)
          if ((n = sendmmsg(port, messages + sent, (unsigned)(ready - sent), 0)) <= 0) break;
        statistics[0] += (uint64_t)ready;
        ready = 0;
      }
    }
    receive(port);
    nanosleep(&(struct timespec){0, 700000}, NULL);
  }
  FILE *file = fopen(argument[5], "w");
  if (!file || fwrite(records, sizeof *records, recorded, file) != recorded) die(argument[5]);
  fclose(file);
  return 0;
}

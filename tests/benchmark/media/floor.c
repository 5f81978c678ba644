// The floor: the input and output of the media path and its arithmetic, for N calls, in plain C.
//
//   floor N FIRST_PORT MODEL_PORT APPEND_MS
//
// One thread; 20 ms ticks of a timer descriptor; PCMU on UDP ports FIRST_PORT ..; PCM 24 kHz over
// TLS 1.3 WebSockets to the model at MODEL_PORT. No SIP, no jitter, no events: what it does not do
// is what a telephone gateway does besides. Prints "ready" when every call is connected.
#include "common.h"

enum { UP = 24, DOWN = 72, RING = 160 * 256, IN = 1 << 18 };

struct call {
  int udp, tcp, joined, playing;
  SSL *tls;
  float heard[UP - 1], spoken[DOWN - 3];
  int16_t append[24 * 100];
  int appended;
  uint8_t ring[RING];
  uint32_t head, tail;
  uint16_t sequence;
  uint8_t *in;
  int in_bytes;
};

static struct call *calls;
static int count_of_calls, append_ms;
static float up[3][UP], down[DOWN], decoded[256];
static uint8_t encoded[65536], value_of[256];
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void design(void) {
  double taps[DOWN], sum = 0;
  for (int i = 0; i < DOWN; i++) {
    double t = i - (DOWN - 1) / 2.0, x = 2.0 * i / (DOWN - 1) - 1;
    double window = 0.54 + 0.46 * cos(M_PI * x), f = 0.15;
    taps[i] = (t == 0 ? 2 * f : sin(2 * M_PI * f * t) / (M_PI * t)) * window;
    sum += taps[i];
  }
  for (int i = 0; i < DOWN; i++) down[i] = (float)(taps[i] / sum);
  for (int phase = 0; phase < 3; phase++)
    for (int i = 0; i < UP; i++) up[phase][i] = (float)(taps[DOWN - 1 - (3 * i + 2 - phase)] * 3 / sum);
  for (int i = 0; i < 65536; i++) encoded[i] = ulaw((int16_t)i);
  for (int code = 0; code < 256; code++) {
    int bits = code ^ 255, magnitude = (((bits & 15) << 3) + 132) << (bits >> 4 & 7);
    decoded[code] = (float)(bits & 128 ? 132 - magnitude : magnitude - 132);
  }
  for (int i = 0; i < 64; i++) value_of[(uint8_t)BASE64[i]] = (uint8_t)i;
}

static int16_t saturated(float value) {
  return (int16_t)lrintf(value > 32767 ? 32767 : value < -32768 ? -32768 : value);
}

static void hear(struct call *call, const uint8_t *payload) {
  float line[160 + UP - 1];
  memcpy(line, call->heard, sizeof call->heard);
  for (int i = 0; i < 160; i++) line[UP - 1 + i] = decoded[payload[i]];
  memcpy(call->heard, line + 160, sizeof call->heard);
  int16_t *out = call->append + call->appended;
  for (int phase = 0; phase < 3; phase++) {
    float sound[160] = {0};
    for (int tap = 0; tap < UP; tap++)
      for (int i = 0; i < 160; i++) sound[i] += up[phase][tap] * line[i + tap];
    for (int i = 0; i < 160; i++) out[3 * i + phase] = saturated(sound[i]);
  }
  call->appended += 480;
}

static void write_all(struct call *call, const uint8_t *data, int bytes) {
  if (SSL_write(call->tls, data, bytes) != bytes) fprintf(stderr, "short write\n");
}

static void write_text(struct call *call, const uint8_t *text, int bytes) {
  static uint8_t frame[1 << 15];
  static const uint8_t mask[4] = {0x12, 0x34, 0x56, 0x78};
  int header = frame_header(frame, (size_t)bytes);
  frame[1] |= 0x80;
  memcpy(frame + header, mask, 4);
  for (int i = 0; i < bytes; i++) frame[header + 4 + i] = text[i] ^ mask[i & 3];
  write_all(call, frame, header + 4 + bytes);
}

static void append(struct call *call) {
  static uint8_t text[1 << 15];
  static const char before[] = "{\"type\":\"input_audio_buffer.append\",\"audio\":\"";
  const uint8_t *sound = (uint8_t *)call->append;
  int bytes = call->appended * 2, n = sizeof before - 1;
  memcpy(text, before, (size_t)n);
  for (int i = 0; i < bytes; i += 3) {
    uint32_t three = (uint32_t)(sound[i] << 16 | sound[i + 1] << 8 | sound[i + 2]);
    text[n++] = (uint8_t)BASE64[three >> 18], text[n++] = (uint8_t)BASE64[three >> 12 & 63];
    text[n++] = (uint8_t)BASE64[three >> 6 & 63], text[n++] = (uint8_t)BASE64[three & 63];
  }
  text[n++] = '"', text[n++] = '}';
  write_text(call, text, n);
  call->appended = 0;
}

static void delta(struct call *call, const uint8_t *text, int bytes) {
  static float line[DOWN + 24 * 600];
  static uint8_t raw[1 << 16];
  const uint8_t *from = memmem(text, bytes < 600 ? (size_t)bytes : 600, "\"delta\":\"", 9);
  if (!from) return;
  const uint8_t *end = text + bytes - 2;
  uint8_t *to = raw;
  for (from += 9; from + 4 <= end; from += 4) {
    uint32_t three = (uint32_t)(value_of[from[0]] << 18 | value_of[from[1]] << 12 |
      value_of[from[2]] << 6 | value_of[from[3]]);
    *to++ = (uint8_t)(three >> 16), *to++ = (uint8_t)(three >> 8), *to++ = (uint8_t)three;
  }
  int samples = (int)(to - raw) / 2 / 3 * 3;
  memcpy(line, call->spoken, sizeof call->spoken);
  for (int i = 0; i < samples; i++) line[DOWN - 3 + i] = ((int16_t *)raw)[i];
  for (int i = 0; i < samples; i += 3) {
    float sum = 0;
    for (int tap = 0; tap < DOWN; tap++) sum += down[tap] * line[i + tap];
    call->ring[call->head++ % RING] = encoded[(uint16_t)saturated(sum)];
  }
  memcpy(call->spoken, line + samples, sizeof call->spoken);
}

static void read_model(struct call *call) {
  for (;;) {
    int n = SSL_read(call->tls, call->in + call->in_bytes, IN - call->in_bytes), at = 0;
    if (n <= 0) return;
    call->in_bytes += n;
    while (call->in_bytes - at >= 10) {
      const uint8_t *frame = call->in + at;
      uint64_t length = frame[1] & 127;
      int header = length == 126 ? 4 : length == 127 ? 10 : 2;
      if (length >= 126)
        for (length = 0, n = 2; n < header; n++) length = length << 8 | frame[n];
      if ((uint64_t)(call->in_bytes - at - header) < length) break;
      delta(call, frame + header, (int)length);
      at += header + (int)length;
    }
    memmove(call->in, call->in + at, (size_t)(call->in_bytes - at));
    call->in_bytes -= at;
  }
}

static void send_packet(struct call *call, uint32_t ssrc) {
  uint8_t packet[172] = {0x80};
  uint32_t ready = call->head - call->tail, timestamp = htonl(call->sequence * 160u);
  if (ready >= 160) call->playing = 1;
  if (!call->playing || !call->joined) return;
  packet[2] = (uint8_t)(call->sequence >> 8), packet[3] = (uint8_t)call->sequence;
  memcpy(packet + 4, &timestamp, 4), memcpy(packet + 8, &ssrc, 4);
  for (int i = 0; i < 160; i++) packet[12 + i] = ready >= 160 ? call->ring[call->tail++ % RING] : 255;
  call->sequence++;
  send(call->udp, packet, sizeof packet, 0);
}

static void read_caller(struct call *call) {
  uint8_t packet[2048];
  struct sockaddr_in from;
  socklen_t size = sizeof from;
  for (long n; (n = recvfrom(call->udp, packet, sizeof packet, 0, (void *)&from, &size)) > 0;) {
    if (!call->joined) {
      call->joined = 1;
      if (connect(call->udp, (struct sockaddr *)&from, sizeof from) < 0) die("connect");
    }
    if (n == 172 && call->appended + 480 <= 24 * append_ms) hear(call, packet + 12);
  }
}

static void dial(struct call *call, SSL_CTX *context, int port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int on = 1, n = 0;
  call->tcp = socket(AF_INET, SOCK_STREAM, 0), call->in = malloc(IN + 1);
  if (connect(call->tcp, (struct sockaddr *)&at, sizeof at) < 0) die("connect");
  setsockopt(call->tcp, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  call->tls = SSL_new(context);
  SSL_set_fd(call->tls, call->tcp);
  if (SSL_connect(call->tls) != 1) die("tls");
  static const char ask[] = "GET /v1/realtime HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";
  write_all(call, (const uint8_t *)ask, sizeof ask - 1);
  char *end = NULL;
  while (!end) {
    int got = SSL_read(call->tls, call->in + n, IN - n);
    if (got <= 0) die("handshake");
    call->in[n += got] = 0;
    end = strstr((char *)call->in, "\r\n\r\n");
  }
  call->in_bytes = n - (int)(end + 4 - (char *)call->in);
  memmove(call->in, end + 4, (size_t)call->in_bytes);
  fcntl(call->tcp, F_SETFL, O_NONBLOCK);
}

int main(int count, char **argument) {
  if (count != 5) return 2;
  signal(SIGTERM, on_signal), signal(SIGPIPE, SIG_IGN);
  count_of_calls = atoi(argument[1]), append_ms = atoi(argument[4]);
  calls = calloc((size_t)count_of_calls, sizeof *calls);
  design();
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  int model = epoll_create1(0), phones = epoll_create1(0);
  for (int i = 0; i < count_of_calls; i++) {
    calls[i].udp = nonblocking_udp(atoi(argument[2]) + 2 * i, 1 << 18);
    dial(&calls[i], context, atoi(argument[3]));
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
    epoll_ctl(model, EPOLL_CTL_ADD, calls[i].tcp, &event);
    epoll_ctl(phones, EPOLL_CTL_ADD, calls[i].udp, &event);
  }
  int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  timerfd_settime(timer, 0, &(struct itimerspec){{0, 20000000}, {0, 20000000}}, NULL);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
  epoll_ctl(model, EPOLL_CTL_ADD, timer, &event);
  struct epoll_event *events = malloc(sizeof *events * (size_t)(count_of_calls + 1));
  int cohorts = append_ms / 20;
  puts("ready"), fflush(stdout);
  for (long tick = 0; !stopped;) {
    int n = epoll_wait(model, events, count_of_calls + 1, -1);
    uint64_t due = 0;
    for (int i = 0; i < n; i++)
      if (events[i].data.u32 == UINT32_MAX && read(timer, &due, sizeof due) < 0) due = 0;
    for (; due; due--, tick++) {
      for (int i = 0; i < count_of_calls; i++) send_packet(&calls[i], htonl((uint32_t)i + 1));
      static struct epoll_event heard[8192];
      int m = epoll_wait(phones, heard, 8192, 0);
      for (int i = 0; i < m; i++) read_caller(&calls[heard[i].data.u32]);
      for (int i = (int)(tick % cohorts); i < count_of_calls; i += cohorts)
        if (calls[i].appended) append(&calls[i]);
    }
    for (int i = 0; i < n; i++)
      if (events[i].data.u32 != UINT32_MAX) read_model(&calls[events[i].data.u32]);
  }
  _exit(0);
}

// N callers: each sends 20 ms of PCMU 50 times a second, their phases spread over the 20 ms, and all
// note when packets come back, by the kernel's clock.
//
//   callers PORTS LOCAL_PORT SECONDS STATISTICS RECORDS
//
// PORTS: a file with a line for each call: its port; with SRTP also our key and theirs, in hex.
// STATISTICS: sent, received, opened, not authentic, as uint64. RECORDS is written at the end: for
// each packet call (uint32), sequence (uint16), payload bytes (uint16), nanoseconds (uint64,
// CLOCK_REALTIME). All packets are counted; of SRTP one in SAMPLE is opened, to cost little.
#include "srtp.h"

enum { BATCH = 64, PACKET = 172, SAMPLE = 16, MAX_CALLS = 8192 };

struct record {
  uint32_t call;
  uint16_t sequence, length;
  uint64_t at;
};

static int target[MAX_CALLS], calls, secure;
static struct srtp ours[MAX_CALLS], theirs[MAX_CALLS];
static uint16_t last[MAX_CALLS];        // sequence that came
static uint32_t turned_over[MAX_CALLS];  // theirs begins at 0 below 2^15: we see it from there on
static int call_of[65536];
static uint64_t *statistics;
static struct record *records;
static size_t recorded, room;

static void begin(struct srtp *srtp, const char *hex) {
  uint8_t key[MASTER];
  for (int i = 0; i < MASTER; i++)
    if (sscanf(hex + 2 * i, "%2hhx", &key[i]) != 1) die("key");
  srtp_begin(srtp, key);
}

static void read_ports(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) die(path);
  for (char line[256], out[61], in[61]; calls < MAX_CALLS && fgets(line, sizeof line, file); calls++) {
    int fields = sscanf(line, "%d %60s %60s", &target[calls], out, in);
    call_of[target[calls] & 65535] = calls;
    if (fields < 3) continue;
    secure = 1;
    begin(&ours[calls], out), begin(&theirs[calls], in);
  }
  fclose(file);
}

// A packet of a call came; of what is not authentic the tag belongs to no sound.
static void check(uint32_t call, uint8_t *packet, int size) {
  uint16_t sequence = (uint16_t)(packet[2] << 8 | packet[3]);
  uint32_t over = turned_over[call];
  if (sequence < 0x4000 && last[call] > 0xC000) turned_over[call] = ++over, last[call] = sequence;
  else if (sequence > 0xC000 && last[call] < 0x4000 && over) over--;  // late
  else last[call] = sequence;
  if (sequence % SAMPLE == call % SAMPLE)
    statistics[srtp_open(&theirs[call], packet, size, (uint64_t)over << 16 | sequence) ? 2 : 3]++;
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
      uint32_t call = (uint32_t)call_of[ntohs(from[i].sin_port)];
      records[recorded++] = (struct record){call, (uint16_t)(data[i][2] << 8 | data[i][3]),
        (uint16_t)(messages[i].msg_len - 12 - (secure ? TAG : 0)),
        (uint64_t)at.tv_sec * 1000000000u + (uint64_t)at.tv_nsec};
      if (secure) check(call, data[i], (int)messages[i].msg_len);
    }
    statistics[1] += (uint64_t)n;
  }
}

int main(int count, char **argument) {
  if (count != 6) return 2;
  signal(SIGTERM, on_signal);
  read_ports(argument[1]);
  double seconds = atof(argument[3]);
  statistics = shared(argument[4], 4 * sizeof *statistics);
  room = (size_t)(calls * 50 * (seconds + 2));
  records = malloc(room * sizeof *records);
  int port = nonblocking_udp(atoi(argument[2]), 64 << 20), on = 1;
  setsockopt(port, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);

  static uint8_t data[BATCH][PACKET + 20], sound[160];
  static struct sockaddr_in to[BATCH];
  static struct iovec parts[BATCH];
  static struct mmsghdr messages[BATCH];
  for (int i = 0; i < 160; i++) sound[i] = ulaw(tone(i, 8000));
  for (int i = 0; i < BATCH; i++) {
    memcpy(data[i] + 12, sound, sizeof sound);
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
      if (secure) {
        memcpy(packet + 12, sound, sizeof sound);
        parts[ready].iov_len = (size_t)srtp_seal(&ours[call], packet, PACKET, sequence);
      }
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

// A Realtime server that costs little: it answers session.update, and from a call's first append on
// it speaks without end, in deltas of 100, 200, 400 and 200 ms, some 1.2 s ahead of real time.
//
//   model PORT CERTIFICATE KEY STATISTICS HERD STRAIGHT
//
// HERD 1: the deltas of all calls in the same millisecond; 0: each call at a time of its own.
// STRAIGHT 1: its deltas are audio/pcmu; 0: audio/pcm of 24 kHz.
// STATISTICS: bytes of sound heard, appends, ms of sound said, connections, as uint64.
#include "common.h"

enum { MAX_CALLS = 4096, LEAD = 1200, HEAD = 256 };

struct call {
  int socket;
  SSL *tls;
  char request[4096];
  int asked;           // bytes of the request so far
  int open;            // the handshake of HTTP is over
  uint8_t header[14];  // of the frame that comes
  int header_bytes;
  uint8_t head[HEAD];  // how its payload begins, unmasked
  uint64_t length, seen;
  int padding;         // characters = at the end of its sound
  double speaks_from;  // 0: not yet
  double said;         // ms
  int chunk;
  uint8_t *waiting;    // what could not be written yet
  size_t waiting_bytes;
};

static struct call *calls[MAX_CALLS];
static int count_of_calls;
static struct { uint64_t audio, appends, said, open; } *statistics;
static const int CHUNK_MS[] = {100, 200, 400, 200};
static uint8_t *chunk[4];
static size_t chunk_bytes[4];
static int herd, straight;

static const char CREATED[] =
  "{\"type\":\"session.created\",\"event_id\":\"event_1\",\"session\":{\"id\":\"sess_1\","
  "\"object\":\"realtime.session\",\"type\":\"realtime\",\"model\":\"m\"}}";
static const char UPDATED[] =
  "{\"type\":\"session.updated\",\"event_id\":\"event_2\",\"session\":{\"id\":\"sess_1\","
  "\"object\":\"realtime.session\",\"type\":\"realtime\",\"model\":\"m\"}}";
static const char *BEGIN[] = {
  "{\"type\":\"response.created\",\"event_id\":\"event_3\",\"response\":{\"id\":\"resp_1\","
  "\"object\":\"realtime.response\",\"status\":\"in_progress\",\"output\":[]}}",
  "{\"type\":\"response.output_item.added\",\"event_id\":\"event_4\",\"response_id\":\"resp_1\","
  "\"output_index\":0,\"item\":{\"id\":\"item_1\",\"object\":\"realtime.item\",\"type\":\"message\","
  "\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}",
  "{\"type\":\"response.content_part.added\",\"event_id\":\"event_5\",\"response_id\":\"resp_1\","
  "\"item_id\":\"item_1\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"audio\"}}",
};

static void make_chunk(int index) {
  int samples = (straight ? 8 : 24) * CHUNK_MS[index], bytes = straight ? samples : 2 * samples;
  int16_t *sound = malloc((size_t)samples * 2);
  for (int i = 0; i < samples; i++) {
    if (straight) ((uint8_t *)sound)[i] = ulaw(tone(i, 8000));
    else sound[i] = tone(i, 24000);
  }
  char *text = malloc((size_t)samples * 3 + 512);
  int length = sprintf(text, "{\"type\":\"response.output_audio.delta\",\"event_id\":\"event_CFfsAPZYyYOQ\","
    "\"response_id\":\"resp_1\",\"item_id\":\"item_1\",\"output_index\":0,\"content_index\":0,"
    "\"delta\":\"");
  length += EVP_EncodeBlock((uint8_t *)text + length, (uint8_t *)sound, bytes);
  length += sprintf(text + length, "\"}");
  chunk[index] = malloc((size_t)length + 10);
  int header = frame_header(chunk[index], (size_t)length);
  memcpy(chunk[index] + header, text, (size_t)length);
  chunk_bytes[index] = (size_t)(length + header);
  free(sound), free(text);
}

static void flush(struct call *call) {
  while (call->waiting_bytes) {
    int n = SSL_write(call->tls, call->waiting, (int)call->waiting_bytes);
    if (n <= 0) return;
    call->waiting_bytes -= (size_t)n;
    memmove(call->waiting, call->waiting + n, call->waiting_bytes);
  }
}

static void put(struct call *call, const void *data, size_t bytes) {
  call->waiting = realloc(call->waiting, call->waiting_bytes + bytes);
  memcpy(call->waiting + call->waiting_bytes, data, bytes);
  call->waiting_bytes += bytes;
  flush(call);
}

static void say(struct call *call, const char *text) {
  uint8_t header[10];
  put(call, header, (size_t)frame_header(header, strlen(text)));
  put(call, text, strlen(text));
}

static void accept_call(struct call *call) {
  char *key = strcasestr(call->request, "sec-websocket-key:"), joined[128], answer[64], reply[256];
  if (!key) return;
  for (key += 18; *key == ' ';) key++;
  sprintf(joined, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
  uint8_t digest[20];
  SHA1((uint8_t *)joined, strlen(joined), digest);
  EVP_EncodeBlock((uint8_t *)answer, digest, 20);
  int n = sprintf(reply, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", answer);
  put(call, reply, (size_t)n);
  call->open = 1;
  statistics->open++;
  say(call, CREATED);
}

static void finish_frame(struct call *call) {
  static const char APPEND[] = "\"input_audio_buffer.append\"", UPDATE[] = "\"session.update\"";
  if (memmem(call->head, HEAD, APPEND, sizeof APPEND - 1)) {
    statistics->audio += (call->length - 47) / 4 * 3 - (uint64_t)call->padding;
    statistics->appends++;
    if (call->speaks_from == 0) {
      double round = 0.9;  // s, of all chunks
      call->speaks_from = herd ? ceil(now() / round) * round : now() + rand() * round / RAND_MAX;
      for (int i = 0; i < 3; i++) say(call, BEGIN[i]);
    }
  } else if (memmem(call->head, HEAD, UPDATE, sizeof UPDATE - 1)) {
    say(call, UPDATED);
  } else if ((call->header[0] & 15) == 9) {
    put(call, "\x8a\0", 2);
  }
}

static void take(struct call *call, uint8_t *data, int bytes) {
  for (int at = 0; at < bytes;) {
    uint8_t *header = call->header;
    int small = call->header_bytes > 1 ? header[1] & 127 : 0;
    int need = 2 + (small == 126 ? 2 : small == 127 ? 8 : 0) + 4;
    if (call->header_bytes < 2 || call->header_bytes < need) {
      header[call->header_bytes++] = data[at++];
      small = header[1] & 127;
      need = 2 + (small == 126 ? 2 : small == 127 ? 8 : 0) + 4;
      if (call->header_bytes < 2 || call->header_bytes < need) continue;
      call->length = (uint64_t)small, call->seen = 0, call->padding = 0;
      if (small >= 126)
        for (call->length = 0, small = 2; small < need - 4; small++)
          call->length = call->length << 8 | header[small];
      memset(call->head, 0, HEAD);
      need = call->header_bytes;
    }
    const uint8_t *mask = header + need - 4;
    uint64_t left = call->length - call->seen, here = (uint64_t)(bytes - at);
    if (here > left) here = left;
    for (uint64_t i = 0; i < here && call->seen + i < HEAD; i++)
      call->head[call->seen + i] = data[(uint64_t)at + i] ^ mask[(call->seen + i) & 3];
    for (uint64_t i = call->length - 4; i < call->length - 2; i++)  // before "}
      if (call->length > 47 && i >= call->seen && i < call->seen + here)
        call->padding += (data[(uint64_t)at + i - call->seen] ^ mask[i & 3]) == '=';
    call->seen += here, at += (int)here;
    if (call->seen == call->length) {
      finish_frame(call);
      call->header_bytes = 0;
    }
  }
}

// False: it is over.
static int read_call(struct call *call) {
  static uint8_t data[1 << 16];
  for (;;) {
    ERR_clear_error();  // or the end of another connection counts as that of this one
    int n = SSL_read(call->tls, data, sizeof data);
    if (n <= 0) {
      int error = SSL_get_error(call->tls, n);
      return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    }
    if (call->open) {
      take(call, data, n);
    } else if (call->asked + n < (int)sizeof call->request) {
      memcpy(call->request + call->asked, data, (size_t)n);
      call->asked += n;
      if (strstr(call->request, "\r\n\r\n")) accept_call(call);
    }
  }
}

static void speak(struct call *call, double time) {
  flush(call);
  while (!call->waiting_bytes && call->said - (time - call->speaks_from) * 1000 < LEAD) {
    put(call, chunk[call->chunk], chunk_bytes[call->chunk]);
    call->said += CHUNK_MS[call->chunk];
    statistics->said += (uint64_t)CHUNK_MS[call->chunk];
    call->chunk = (call->chunk + 1) % 4;
  }
}

int main(int count, char **argument) {
  if (count != 7) return 2;
  signal(SIGTERM, on_signal), signal(SIGPIPE, SIG_IGN);
  statistics = shared(argument[4], sizeof *statistics);
  herd = atoi(argument[5]), straight = atoi(argument[6]);
  for (int i = 0; i < 4; i++) make_chunk(i);
  SSL_CTX *context = SSL_CTX_new(TLS_server_method());
  if (SSL_CTX_use_certificate_file(context, argument[2], SSL_FILETYPE_PEM) != 1) die(argument[2]);
  if (SSL_CTX_use_PrivateKey_file(context, argument[3], SSL_FILETYPE_PEM) != 1) die(argument[3]);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);

  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argument[1]))};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 1024) < 0) die("listen");
  int poll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX}, events[256];
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);

  for (double last = 0; !stopped;) {
    int n = epoll_wait(poll, events, 256, 2);
    for (int i = 0; i < n; i++) {
      uint32_t id = events[i].data.u32;
      if (id == UINT32_MAX) {
        for (int made; (made = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
          int slot = 0;  // of a call that is over, or the next one
          while (slot < count_of_calls && calls[slot]) slot++;
          if (slot == MAX_CALLS) { close(made); continue; }
          struct call *call = calloc(1, sizeof *call);
          setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          call->socket = made, call->tls = SSL_new(context);
          SSL_set_fd(call->tls, made), SSL_set_accept_state(call->tls);
          event = (struct epoll_event){.events = EPOLLIN, .data.u32 = (uint32_t)slot};
          epoll_ctl(poll, EPOLL_CTL_ADD, made, &event);
          calls[slot] = call;
          if (slot == count_of_calls) count_of_calls++;
        }
      } else if (calls[id] && !read_call(calls[id])) {
        close(calls[id]->socket), SSL_free(calls[id]->tls);
        free(calls[id]->waiting), free(calls[id]);
        calls[id] = NULL;
      }
    }
    double time = now();
    if (time - last < 0.002) continue;
    last = time;
    for (int i = 0; i < count_of_calls; i++)
      if (calls[i] && calls[i]->speaks_from) speak(calls[i], time);
  }
  return 0;
}

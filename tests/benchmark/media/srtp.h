// SRTP as AES_CM_128_HMAC_SHA1_80 (RFC 3711): one key, one stream, the index kept by whoever calls.
#define OPENSSL_SUPPRESS_DEPRECATED  // SHA1_Update and the like: a MAC of EVP costs several times more
#include "common.h"

enum { MASTER = 30, TAG = 10 };

struct srtp {
  EVP_CIPHER_CTX *cipher;
  SHA_CTX inner, outer;  // HMAC after its pads
  uint8_t salt[16];
};

static inline void counter_mode(EVP_CIPHER_CTX *cipher, const uint8_t *from, uint8_t *data, int size) {
  int done;
  EVP_EncryptInit_ex(cipher, NULL, NULL, NULL, from);
  EVP_EncryptUpdate(cipher, data, &done, data, size);
}

// 4.3.1: `size` bytes of the session key with this label.
static inline void derive(const uint8_t *master, int label, uint8_t *key, int size) {
  uint8_t from[16] = {0};
  memcpy(from, master + 16, 14);
  from[7] ^= (uint8_t)label;
  memset(key, 0, (size_t)size);
  EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex(cipher, EVP_aes_128_ctr(), NULL, master, NULL);
  counter_mode(cipher, from, key, size);
  EVP_CIPHER_CTX_free(cipher);
}

static inline void srtp_begin(struct srtp *to, const uint8_t *master) {
  uint8_t key[20], pad[64];
  derive(master, 0, key, 16);
  to->cipher = EVP_CIPHER_CTX_new();
  EVP_EncryptInit_ex(to->cipher, EVP_aes_128_ctr(), NULL, key, NULL);
  derive(master, 1, key, 20);
  for (int i = 0; i < 64; i++) pad[i] = (uint8_t)((i < 20 ? key[i] : 0) ^ 0x36);
  SHA1_Init(&to->inner), SHA1_Update(&to->inner, pad, 64);
  for (int i = 0; i < 64; i++) pad[i] ^= 0x36 ^ 0x5c;
  SHA1_Init(&to->outer), SHA1_Update(&to->outer, pad, 64);
  memset(to->salt, 0, 16);
  derive(master, 2, to->salt, 14);
}

// 4.1.1: encrypts and decrypts what is after a header of 12 bytes.
static inline void srtp_cipher(struct srtp *with, uint8_t *packet, int size, uint64_t index) {
  uint8_t from[16];
  memcpy(from, with->salt, 16);
  for (int i = 0; i < 4; i++) from[4 + i] ^= packet[8 + i];
  for (int i = 0; i < 6; i++) from[8 + i] ^= (uint8_t)(index >> (40 - 8 * i));
  counter_mode(with->cipher, from, packet + 12, size - 12);
}

// 4.2: all of SHA1; the tag is its beginning.
static inline void srtp_tag(struct srtp *with, const uint8_t *packet, int size, uint64_t index,
                            uint8_t *tag) {
  uint32_t over = htonl((uint32_t)(index >> 16));
  SHA_CTX hash = with->inner;
  SHA1_Update(&hash, packet, (size_t)size), SHA1_Update(&hash, &over, 4), SHA1_Final(tag, &hash);
  hash = with->outer;
  SHA1_Update(&hash, tag, 20), SHA1_Final(tag, &hash);
}

// Needs room for 20 bytes after the packet; returns the length to be sent.
static inline int srtp_seal(struct srtp *with, uint8_t *packet, int size, uint64_t index) {
  srtp_cipher(with, packet, size, index);
  srtp_tag(with, packet, size, index, packet + size);
  return size + TAG;
}

// False: it is not authentic.
static inline int srtp_open(struct srtp *with, uint8_t *packet, int size, uint64_t index) {
  uint8_t tag[20];
  if (size < 12 + TAG) return 0;
  srtp_tag(with, packet, size - TAG, index, tag);
  if (memcmp(tag, packet + size - TAG, TAG)) return 0;
  srtp_cipher(with, packet, size - TAG, index);
  return 1;
}

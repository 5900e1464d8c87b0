/* A stand-in for NVIDIA's driver, as libcuda.so.1 and libnvidia-encode.so.1 at once: it encodes nothing, but
 * watches how it is called and hands out a stream that is given to it. Versions, places of fields and values
 * are those of nvEncodeAPI.h n12.0.16.1, as scripts/nvenc-layout.py prints them; none are taken from Rust.
 *
 * STANDIN_STREAM  what comes out: headers, then a key flag and bytes for each picture, all with lengths
 * STANDIN_RAW     where the pictures go that come in
 * STANDIN_INIT    where what the encoder was started with goes
 * STANDIN_FAIL    FUNCTION:N:STATUS, the N-th call of a function fails (0: every call)
 * STANDIN_AHEAD   for how many pictures the preset looks ahead
 * STANDIN_VERSION the newest version of the interface, 0xd0 (13.0) if not said
 *
 * A call that may not be ends the process with 97, a leak at the end with 98. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define U32(p, at) (*(uint32_t *)((char *)(p) + (at)))
#define U64(p, at) (*(uint64_t *)((char *)(p) + (at)))
#define PTR(p, at) (*(void **)((char *)(p) + (at)))
#define VERSION(n) (12u | (n) << 16 | 7u << 28)
#define MORE (1u << 31)
#define MUST(yes) do { if (!(yes)) die(__func__, #yes); } while (0)
#define CHECK do { MUST(current > 0); int s_ = failing(__func__); if (s_) return s_; } while (0)
#define LATE int late = failing(__func__); MUST(current > 0)

typedef struct { uint32_t a; uint16_t b, c; uint8_t d[8]; } Guid;
enum { H264 = 0x6bc82762, HEVC = 0x790cdc88, AV1 = 0x0a352289 };
static const uint32_t PRESETS[7] = {0xfc0a8d3e, 0xf581cfb8, 0x36850110, 0x90a7b826, 0x21c6e6b4, 0x8e75c279, 0x84848c12};
static const Guid PROFILES[4] = {
    {0xe7cbc309, 0x4f7a, 0x4b89, {0xaf, 0x2a, 0xd5, 0x37, 0xc9, 0x2b, 0xe3, 0x10}},
    {0xb514c39a, 0xb55b, 0x40fa, {0x87, 0x8f, 0xf1, 0x25, 0x3b, 0x4d, 0xfd, 0xec}},
    {0xfa4d2b6c, 0x3a5b, 0x411a, {0x80, 0x18, 0x0a, 0x3f, 0x5e, 0x3c, 0x9b, 0xe5}},
    {0x5f2a39f5, 0xf14e, 0x4f95, {0x9a, 0x9e, 0xb7, 0x6d, 0x56, 0x8f, 0xcf, 0x97}}};
static const Guid CODECS[3] = {
    {H264, 0x4e63, 0x4ca4, {0xaa, 0x85, 0x1e, 0x50, 0xf3, 0x21, 0xf6, 0xbf}},
    {HEVC, 0x4522, 0x4d7b, {0x94, 0x25, 0xbd, 0xa9, 0x97, 0x5f, 0x76, 0x03}},
    {AV1, 0x0aa7, 0x4759, {0x86, 0x2d, 0x5d, 0x15, 0xcd, 0x16, 0xd2, 0x54}}};

typedef struct { int live, locked, busy; char *data; uint32_t number; uint64_t time; } Buffer;
typedef struct {
    int live, started, ended;
    uint32_t codec, width, height, pitch, format, ahead, pictures;
    uint64_t last;
    Buffer in[64], out[64];
} Session;

static Session sessions[16];
static int retained, context;
static _Thread_local int current;

static void die(const char *where, const char *what) {
    fprintf(stderr, "stand-in: %s: not %s\n", where, what);
    fflush(NULL);
    _exit(97);
}

/* The status that this call of a function shall fail with, or 0. */
static int failing(const char *function) {
    static int calls;
    const char *wanted = getenv("STANDIN_FAIL");
    size_t length = strlen(function);
    int number, status;
    if (!wanted || strncmp(wanted, function, length) || wanted[length] != ':') return 0;
    if (sscanf(wanted + length, ":%d:%d", &number, &status) != 2) die("STANDIN_FAIL", "understood");
    return ++calls == number || number == 0 ? status : 0;
}

__attribute__((destructor)) static void at_the_end(void) {
    int leaks = retained;
    for (int i = 0; i < 16; i++) leaks += sessions[i].live;
    if (leaks == 0) return;
    fprintf(stderr, "stand-in: %d things are left over\n", leaks);
    fflush(NULL);
    _exit(98);
}

int cuInit(unsigned flags) { return flags ? 1 : failing(__func__); }
int cuGetErrorName(int code, const char **name) { *name = code == 100 ? "CUDA_ERROR_NO_DEVICE" : NULL; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return failing(__func__); }
int cuDeviceGet(int *device, int number) { MUST(number == 0); *device = 7; return failing(__func__); }
int cuDeviceGetName(char *name, int length, int device) { MUST(device == 7); snprintf(name, length, "Stand-in"); return 0; }
int cuDevicePrimaryCtxRetain(void **out, int device) {
    int status = failing(__func__);
    MUST(device == 7);
    if (!status) { retained++; *out = &context; }
    return status;
}
int cuDevicePrimaryCtxRelease(int device) { MUST(device == 7 && retained > 0); retained--; return 0; }
int cuCtxPushCurrent_v2(void *it) { MUST(it == &context && retained > 0); current++; return 0; }
int cuCtxPopCurrent_v2(void **it) { MUST(current > 0); current--; *it = &context; return 0; }
int cuMemcpy2D_v2(const void *copy) { (void)copy; return 1; }
int cuMemHostAlloc(void **out, size_t length, unsigned flags) { (void)out, (void)length, (void)flags; return 1; }
int cuMemFreeHost(void *memory) { (void)memory; return 1; }

static Session *session(void *handle) {
    Session *it = handle;
    MUST(it >= sessions && it < sessions + 16 && it->live);
    return it;
}

static Buffer *buffer(Buffer *all, void *handle) {
    Buffer *it = handle;
    MUST(it >= all && it < all + 64 && it->live);
    return it;
}

static Buffer *fresh(Buffer *all) {
    for (int i = 0; i < 64; i++)
        if (!all[i].live) { memset(&all[i], 0, sizeof all[i]); all[i].live = 1; return &all[i]; }
    die("fresh", "so many buffers");
    return NULL;
}

static uint32_t ahead(void) { const char *text = getenv("STANDIN_AHEAD"); return text ? atoi(text) : 0; }

static int open(void *params, void **out) {
    MUST(U32(params, 0) == VERSION(1) && U32(params, 4) == 1 && PTR(params, 8) == &context && U32(params, 24) == 12);
    MUST(current > 0);
    int status = failing("open"), i = 0;
    *out = (void *)16; /* Nothing that may be touched, if it fails. */
    if (status) return status;
    while (sessions[i].live) MUST(++i < 16);
    memset(&sessions[i], 0, sizeof sessions[i]);
    sessions[i].live = 1;
    *out = &sessions[i];
    return 0;
}

static int guid_count(void *s, uint32_t *count) { CHECK; session(s); *count = 3; return 0; }
static int guids(void *s, Guid *out, uint32_t room, uint32_t *count) {
    CHECK; session(s); MUST(room >= 3);
    memcpy(out, CODECS, sizeof CODECS); *count = 3;
    return 0;
}
static int profile_count(void *s, Guid codec, uint32_t *count) { CHECK; session(s); *count = codec.a == HEVC ? 2 : 1; return 0; }
static int profiles(void *s, Guid codec, Guid *out, uint32_t room, uint32_t *count) {
    CHECK; session(s); MUST(room >= (codec.a == HEVC ? 2u : 1u));
    if (codec.a == HEVC) { out[0] = PROFILES[1]; out[1] = PROFILES[2]; *count = 2; }
    else { out[0] = PROFILES[codec.a == H264 ? 0 : 3]; *count = 1; }
    return 0;
}
static int caps(void *s, Guid codec, void *params, int *value) {
    CHECK; session(s); MUST(U32(params, 0) == VERSION(1));
    switch (U32(params, 4)) {
    case 16: case 17: *value = 4096; break;
    case 45: *value = 145; break;
    case 46: *value = 49; break;
    case 37: *value = 1; break;
    case 39: *value = codec.a != H264; break;
    default: die("caps", "an ability that is known");
    }
    return 0;
}

static int preset_number(uint32_t a) { for (int i = 0; i < 7; i++) if (PRESETS[i] == a) return i + 1; return 0; }

/* Places in NV_ENC_CONFIG. */
enum { PROFILE = 4, GROUP = 20, INTERVAL = 24, FIELDS = 32, RATE = 40, CODEC = 168 };

static int preset(void *s, Guid codec, Guid preset, uint32_t tuning, void *out) {
    CHECK; session(s); MUST(U32(out, 0) == (VERSION(4) | MORE) && U32(out, 8) == (VERSION(8) | MORE));
    MUST(tuning == 1 && preset_number(preset.a));
    char *config = (char *)out + 8;
    U32(config, GROUP) = 250; U32(config, INTERVAL) = 4; U32(config, FIELDS) = 1;
    U32(config, RATE) = VERSION(1);
    if (ahead()) { U32(config, RATE + 36) |= 1 << 5; *(uint16_t *)(config + RATE + 90) = ahead(); }
    if (codec.a == H264) U32(config, CODEC) = 1 << 12;
    if (codec.a == HEVC) U32(config, CODEC + 16) = 1 << 7 | 3 << 9 | 1 << 11;
    if (codec.a == AV1) U32(config, CODEC + 16) = 1 | 1 << 4;
    return 0;
}

static int init(void *s, void *p) {
    CHECK; Session *it = session(s); MUST(!it->started && U32(p, 0) == (VERSION(5) | MORE));
    char *config = PTR(p, 88), *codec = config + CODEC;
    it->codec = U32(p, 4); it->width = U32(p, 36); it->height = U32(p, 40);
    MUST(U32(config, 0) == (VERSION(8) | MORE) && preset_number(U32(p, 20)));
    MUST(U32(p, 60) == 0 && U32(p, 64) == 1 && U32(p, 136) == 1);
    MUST(U32(config, GROUP) == UINT32_MAX && U32(config, INTERVAL) == 1 && U32(config, FIELDS) == 1);
    uint32_t profile = U32(config, PROFILE), vui = 0, ten = 0;
    if (it->codec == H264) {
        MUST(profile == PROFILES[0].a && !(U32(codec, 0) & 1 << 12) && U32(codec, 0) & 1 << 7 && U32(codec, 8) == UINT32_MAX);
        vui = 72;
    } else if (it->codec == HEVC) {
        ten = U32(codec, 16) >> 11 & 7;
        MUST(profile == PROFILES[ten ? 2 : 1].a && !(U32(codec, 16) & 1 << 7) && U32(codec, 16) & 1 << 6);
        MUST((U32(codec, 16) >> 9 & 3) == 1 && U32(codec, 20) == UINT32_MAX);
        vui = 64;
    } else {
        MUST(profile == PROFILES[3].a && !(U32(codec, 16) & (1 | 1 << 4)) && U32(codec, 16) & 1 << 5 && U32(codec, 0) == 24);
        ten = U32(codec, 16) >> 15 & 7;
        MUST((U32(codec, 16) >> 12 & 7) == ten && (U32(codec, 16) >> 7 & 3) == 1);
    }
    it->ahead = U32(config, RATE + 36) & 1 << 5 ? *(uint16_t *)(config + RATE + 90) : 0;
    MUST(it->ahead == ahead() && (!it->ahead || U32(config, RATE + 36) & 1 << 6));
    uint32_t *colour = (uint32_t *)(codec + (vui ? vui + 24 : 68));
    FILE *file = getenv("STANDIN_INIT") ? fopen(getenv("STANDIN_INIT"), "w") : NULL;
    if (file) {
        fprintf(file, "preset=%d size=%ux%u rate=%u/%u depth=%u mode=%u average=%u most=%u buffer=%u quality=%u+%u colour=%u,%u,%u range=%u\n",
            preset_number(U32(p, 20)), it->width, it->height, U32(p, 52), U32(p, 56), 8 + ten, U32(config, RATE + 4),
            U32(config, RATE + 20), U32(config, RATE + 24), U32(config, RATE + 28), (uint8_t)config[RATE + 88],
            (uint8_t)config[RATE + 89], colour[0], colour[1], colour[2], vui ? U32(codec, vui + 16) : colour[3]);
        fclose(file);
    }
    it->format = ten ? 0x10000 : 1;
    it->pitch = (it->width * (ten ? 2 : 1) + 255) / 256 * 256;
    it->started = 1;
    return 0;
}

/* The n-th part of the stream: -1 for the headers. Gives its length. */
static uint32_t part(int n, char **bytes, int *key) {
    FILE *file = fopen(getenv("STANDIN_STREAM"), "rb");
    MUST(file);
    for (int i = -1;; i++) {
        uint32_t length; uint8_t flag;
        if (fread(&length, 4, 1, file) != 1 || fread(&flag, 1, 1, file) != 1) { fclose(file); *key = 0; return 0; }
        *bytes = malloc(length + 1);
        MUST(fread(*bytes, 1, length, file) == length);
        if (i == n) { fclose(file); *key = flag; return length; }
        free(*bytes);
    }
}

static int headers(void *s, void *p) {
    CHECK; Session *it = session(s); MUST(it->started && U32(p, 0) == VERSION(1));
    char *bytes = NULL; int key;
    uint32_t length = part(-1, &bytes, &key);
    MUST(length <= U32(p, 4));
    memcpy(PTR(p, 16), bytes, length);
    *(uint32_t *)PTR(p, 24) = length;
    free(bytes);
    return 0;
}

static int create_input(void *s, void *p) {
    CHECK; Session *it = session(s); MUST(it->started && U32(p, 0) == VERSION(1));
    MUST(U32(p, 4) == it->width && U32(p, 8) == it->height && U32(p, 16) == it->format);
    Buffer *made = fresh(it->in);
    made->data = malloc((size_t)it->pitch * it->height * 3 / 2);
    PTR(p, 24) = made;
    return 0;
}
static int create_output(void *s, void *p) {
    CHECK; Session *it = session(s); MUST(it->started && U32(p, 0) == VERSION(1));
    PTR(p, 16) = fresh(it->out);
    return 0;
}
static int destroy_input(void *s, void *b) {
    LATE; Buffer *it = buffer(session(s)->in, b); MUST(!it->locked);
    free(it->data); it->live = 0;
    return late;
}
static int destroy_output(void *s, void *b) {
    LATE; Buffer *it = buffer(session(s)->out, b); MUST(!it->locked);
    free(it->data); it->live = 0;
    return late;
}
static int lock_input(void *s, void *p) {
    CHECK; Session *it = session(s); MUST(U32(p, 0) == VERSION(1));
    Buffer *in = buffer(it->in, PTR(p, 8)); MUST(!in->locked && !in->busy);
    in->locked = 1; PTR(p, 16) = in->data; U32(p, 24) = it->pitch;
    return 0;
}
static int unlock_input(void *s, void *b) { LATE; Buffer *in = buffer(session(s)->in, b); MUST(in->locked); in->locked = 0; return late; }

static int encode(void *s, void *p) {
    Session *it = session(s); MUST(it->started && !it->ended && U32(p, 0) == (VERSION(6) | MORE));
    if (U32(p, 16) == 8) { MUST(!PTR(p, 40) && !PTR(p, 48)); it->ended = 1; }
    CHECK;
    if (it->ended) return 0;
    MUST(U32(p, 16) == 0 || U32(p, 16) == 2);
    Buffer *in = buffer(it->in, PTR(p, 40)), *out = buffer(it->out, PTR(p, 48));
    MUST(!in->locked && !in->busy && !out->locked && !out->busy);
    MUST(U32(p, 4) == it->width && U32(p, 8) == it->height && U32(p, 12) == it->pitch);
    MUST(U32(p, 64) == it->format && U32(p, 68) == 1);
    MUST(it->pictures == 0 || U64(p, 24) > it->last);
    it->last = U64(p, 24);
    int key;
    free(out->data); out->data = NULL;
    out->number = part(it->pictures, &out->data, &key);
    MUST(out->number > 0 && key == (U32(p, 16) == 2));
    out->time = it->last; out->busy = ++it->pictures; in->busy = out->busy;
    FILE *file = getenv("STANDIN_RAW") ? fopen(getenv("STANDIN_RAW"), "ab") : NULL;
    if (file) {
        for (uint32_t row = 0; row < it->height * 3 / 2; row++)
            fwrite(in->data + (size_t)row * it->pitch, it->width * (it->format == 1 ? 1 : 2), 1, file);
        fclose(file);
    }
    return it->pictures <= it->ahead ? 17 : 0;
}

static int lock_output(void *s, void *p) {
    CHECK; Session *it = session(s); MUST(U32(p, 0) == VERSION(2) && U32(p, 4) == 0);
    Buffer *out = buffer(it->out, PTR(p, 8));
    MUST(out->busy && !out->locked && (it->ended || out->busy + it->ahead <= it->pictures));
    out->locked = 1; U32(p, 36) = out->number; U64(p, 40) = out->time; PTR(p, 56) = out->data;
    return 0;
}
static int unlock_output(void *s, void *b) {
    LATE; Session *it = session(s); Buffer *out = buffer(it->out, b); MUST(out->locked);
    for (int i = 0; i < 64; i++) if (it->in[i].busy == out->busy) it->in[i].busy = 0;
    out->locked = out->busy = 0;
    return late;
}
static int destroy(void *s) {
    LATE; Session *it = session(s); MUST(!it->started || it->ended);
    for (int i = 0; i < 64; i++) MUST(!it->in[i].live && !it->out[i].live);
    it->live = 0;
    return late;
}
static const char *last_error(void *s) { session(s); return "words of the stand-in\n"; }

int NvEncodeAPIGetMaxSupportedVersion(uint32_t *version) {
    const char *text = getenv("STANDIN_VERSION");
    *version = text ? strtoul(text, NULL, 0) : 0xd0;
    return failing(__func__);
}
int NvEncodeAPICreateInstance(void *table) {
    MUST(U32(table, 0) == VERSION(2));
    int status = failing(__func__);
    if (status) return status;
#define AT(place, function) PTR(table, place) = (void *)(function)
    AT(16, guid_count); AT(24, profile_count); AT(32, profiles); AT(40, guids);
    AT(64, caps); AT(96, init); AT(104, create_input); AT(112, destroy_input);
    AT(120, create_output); AT(128, destroy_output); AT(136, encode); AT(144, lock_output);
    AT(152, unlock_output); AT(160, lock_input); AT(168, unlock_input); AT(184, headers);
    AT(224, destroy); AT(240, open); AT(304, last_error); AT(320, preset);
    return 0;
}

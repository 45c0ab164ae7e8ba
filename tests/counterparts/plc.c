/* A PLC on libmodbus, written from docs/registers.md and the contract's function block, without a line of ours.
 *
 *   plc server [options]           it has the memory; the appliance polls it (direction C)
 *   plc client -p PORT [options]   it scans the appliance that listens there (direction S)
 * Scan order: read STAT, logic, write CTRL. Each part gives one JSON line, and a last line gives the totals.
 * Times are in seconds, and longer than a machine's would be: tests run on busy cores.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <getopt.h>
#include <modbus/modbus.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

enum { CONTROL, TRIGGER_ID, PLC_HEARTBEAT, HB_ECHO, RECIPE_EXPECTED = 7, PART_ID, ENCODER = 10, TRIGGER_ID_INV = 14,
       SIGNATURE, PLC_VERDICT_ID, PLC_VERDICT, PLC_PART_COUNT, CTRL_SIZE = 20 };
enum { STATUS, HEARTBEAT, TRIGGER_ID_ACK, RES_SEQ = 9, RES_TRIGGER_ID, RESULT_CODE, REASON, RECIPE_USED = 17,
       RESULT_FLAGS = 21, PART_ID_ECHO, ENCODER_ECHO = 24, RES_XOR = 38, RES_SEQ_TAIL, STAT_SIGNATURE = 41,
       STAT_SIZE = 44 };
enum { DIAG_SIZE = 40, TRIGGERS = 4, PASSED = 6, FAILED = 8, UNCERTAIN = 10, NOT_INSPECTED = 12, LINK_SESSIONS = 24 };
enum { TRIGGER_ENABLE = 1, TRIGGER = 1 << 1, RESULTS_ACK = 1 << 3 };                                  /* CONTROL */
enum { READY = 1, ACK = 1 << 1, VALID = 1 << 7, PASS = 1 << 8, FAIL = 1 << 9, ERROR = 1 << 14, ONLINE = 1 << 15 };
enum { STAT_AT = 20, DIAG_AT = 100, DEVICE_AT = 2000, REGISTERS = 2100, STATION = 1 };
enum { GOOD = 1, REJECT = 2, NEVER_TRIGGERED = 3 };                                                  /* PLC_VERDICT */

static const double SCAN = 0.005, T_HB = 10.0, T_ACK = 10.0, T_RESULT = 20.0, T_READY = 60.0, BEAT = 0.05,
                    RETRY = 0.1, LINGER = 1.5, COUNTED = 60.0;

static struct {
    bool client, little;
    int port, parts;
    uint32_t first_part;
    uint16_t first_id;
    const char *device;   /* a serial line instead of TCP */
} opt = {.parts = 200, .first_part = 1, .first_id = 1};

static uint16_t ctrl[CTRL_SIZE], stat[STAT_SIZE], diag[DIAG_SIZE];
static int link_faults, stray_writes;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint32_t get32(const uint16_t *at) {
    return opt.little ? (uint32_t)at[1] << 16 | at[0] : (uint32_t)at[0] << 16 | at[1];
}

static void set32(uint16_t *at, uint32_t value) {
    at[opt.little ? 1 : 0] = (uint16_t)(value >> 16);
    at[opt.little ? 0 : 1] = (uint16_t)value;
}

static _Noreturn void die(const char *what) {
    fprintf(stderr, "plc: %s: %s\n", what, modbus_strerror(errno));
    exit(2);
}

/* ---- FB_Inspect ------------------------------------------------------------------------------------------------- */

static struct {
    int st, done;
    uint16_t id, hb_seen;
    int hb_changes;
    double hb_at, beat_at, t0, free_at;
    bool acked, late_ack, triggered, in_track;
    int track;                             /* of the part at the camera: GOOD or REJECT */
    uint16_t code, reason, status;          /* as the result was read */
    uint32_t part_echo, encoder_echo;
} fb;

static bool hb_ok(double now) { return fb.hb_changes >= 2 && now - fb.hb_at < T_HB; }

static bool good(void) {
    uint16_t word = 0;
    for (int i = RES_SEQ; i < RES_XOR; i++) word ^= stat[i];
    return (stat[STATUS] & VALID) && (stat[STATUS] & PASS) && !(stat[STATUS] & FAIL) && stat[RESULT_CODE] == 1 &&
           stat[RES_TRIGGER_ID] == fb.id && stat[RES_SEQ] == stat[RES_SEQ_TAIL] && stat[RES_XOR] == word &&
           (ctrl[RECIPE_EXPECTED] == 0 || stat[RECIPE_USED] == ctrl[RECIPE_EXPECTED]) &&
           (stat[RESULT_FLAGS] & 3) == 0 && (stat[STATUS] & ONLINE) && !(stat[STATUS] & ERROR) &&
           stat[STAT_SIGNATURE] == 0xA100 + STATION;
}

static void control(uint16_t bit, bool on) {
    ctrl[CONTROL] = (uint16_t)(on ? ctrl[CONTROL] | bit : ctrl[CONTROL] & ~bit);
}

static void raise_trigger(double now) {
    ctrl[TRIGGER_ID] = fb.id;
    ctrl[TRIGGER_ID_INV] = (uint16_t)~fb.id;
    set32(ctrl + PART_ID, opt.first_part + (uint32_t)fb.done);
    set32(ctrl + ENCODER, 0x10000u * fb.id + 7u);   /* both words differ from part to part */
    control(TRIGGER, true);
    fb.triggered = true;
    fb.acked = fb.late_ack = false;
    fb.t0 = now;
    fb.st = 1;
}

static void await_result(double now) {
    const bool valid = stat[STATUS] & VALID;
    if ((stat[STATUS] & ACK) && stat[TRIGGER_ID_ACK] == fb.id) {
        if (!fb.acked) fb.late_ack = now - fb.t0 > T_ACK;
        fb.acked = true;
        control(TRIGGER, false);
    }
    if (fb.acked && valid && stat[RES_TRIGGER_ID] == fb.id && stat[RES_SEQ] == stat[RES_SEQ_TAIL]) {
        if (good() && hb_ok(now) && !fb.late_ack) fb.track = GOOD;
        fb.code = stat[RESULT_CODE];
        fb.reason = stat[REASON];
        fb.status = stat[STATUS];
        fb.part_echo = get32(stat + PART_ID_ECHO);
        fb.encoder_echo = get32(stat + ENCODER_ECHO);
        control(RESULTS_ACK, true);
        fb.st = 2;
    } else {
        control(RESULTS_ACK, valid && stat[RES_TRIGGER_ID] != fb.id);   /* foreign or late: discard, else deadlock */
    }
    if (now - fb.t0 > T_RESULT || !hb_ok(now)) {
        control(TRIGGER, false);
        fb.st = 2;
    }
}

static void inspect(bool new_part, double now) {
    const bool valid = stat[STATUS] & VALID;
    if (new_part) {
        fb.id = fb.done ? (uint16_t)(fb.id % 65535 + 1) : opt.first_id;
        fb.track = REJECT;
        fb.in_track = true;
        fb.triggered = false;
        fb.code = fb.reason = fb.status = 0;
        set32(ctrl + PLC_PART_COUNT, (uint32_t)fb.done + 1);
    }
    switch (fb.st) {
    case 0:
        control(RESULTS_ACK, valid);   /* discard leftovers, else deadlock */
        if (new_part && hb_ok(now) && (stat[STATUS] & READY) && !valid) raise_trigger(now);
        break;
    case 1:
        await_result(now);
        break;
    default:
        control(RESULTS_ACK, valid);
        if (!valid && !(stat[STATUS] & ACK)) fb.st = 0;
    }
}

/* ---- the machine around it -------------------------------------------------------------------------------------- */

static void decide(double now) {
    ctrl[PLC_VERDICT_ID] = fb.id;
    ctrl[PLC_VERDICT] = (uint16_t)(fb.triggered ? fb.track : NEVER_TRIGGERED);
    printf("{\"trigger_id\": %u, \"part_id\": %u, \"code\": %u, \"reason\": %u, \"verdict\": \"%s\", "
           "\"status\": %u, \"part_echo\": %u, \"encoder\": %u, \"encoder_echo\": %u}\n",
           fb.id, opt.first_part + (uint32_t)fb.done, fb.code, fb.reason, fb.track == GOOD ? "good" : "reject",
           fb.status, fb.part_echo, get32(ctrl + ENCODER), fb.encoder_echo);
    fb.done++;
    fb.in_track = false;
    fb.free_at = now;
}

static void scan(double now) {
    if (stat[HEARTBEAT] != fb.hb_seen) {
        fb.hb_seen = stat[HEARTBEAT];
        fb.hb_at = now;
        fb.hb_changes++;
    }
    ctrl[HB_ECHO] = stat[HEARTBEAT];
    if (now - fb.beat_at >= BEAT) {
        fb.beat_at = now;
        ctrl[PLC_HEARTBEAT]++;
    }
    /* The next part comes when the appliance is READY; after T_READY it passes the camera all the same. */
    const bool free = fb.st == 0 && !fb.in_track && fb.done < opt.parts;
    const bool ready = hb_ok(now) && (stat[STATUS] & READY) && !(stat[STATUS] & VALID);
    inspect(free && (ready || now - fb.free_at > T_READY), now);
    if (fb.in_track && fb.st == 0) decide(now);
}

/* DIAG is of once a second, and later than that on busy cores: over when it has counted all parts. */
static bool over(double now) {
    const double rested = fb.done == opt.parts ? now - fb.free_at : 0;
    return rested > COUNTED || (rested > LINGER && get32(diag + TRIGGERS) >= (uint32_t)opt.parts);
}

/* DIAG is wanted only at the end: until then nothing is asked that a PLC would not ask. */
static bool resting(double now) { return fb.done == opt.parts && now - fb.free_at > LINGER; }

static void rest_until(double then) {
    const double left = then - now_s();
    if (left > 0) usleep((useconds_t)(left * 1e6));
}

/* ---- direction S: Modbus client --------------------------------------------------------------------------------- */

/* False: it does not answer yet. What is no appliance, or has the other word order, ends the program. */
static bool check_device(modbus_t *bus) {
    uint16_t device[6];
    if (modbus_read_input_registers(bus, DEVICE_AT, 6, device) != 6) return false;
    if (device[0] == 0xA100 && device[1] == 0x0100 && get32(device + 4) == 0x12345678) return true;
    fprintf(stderr, "plc: DEVICE is %04x %04x, word order %08x\n", device[0], device[1], get32(device + 4));
    exit(2);
}

static bool exchange(modbus_t *bus) {
    if (modbus_read_registers(bus, STAT_AT, STAT_SIZE, stat) != STAT_SIZE) return false;
    scan(now_s());
    if (modbus_write_registers(bus, 0, CTRL_SIZE, ctrl) != CTRL_SIZE) return false;
    return !resting(now_s()) || modbus_read_input_registers(bus, DIAG_AT, DIAG_SIZE, diag) == DIAG_SIZE;
}

static void run_client(modbus_t *bus) {
    bool up = false, was_up = false;
    for (double next = now_s(); !over(next); next = now_s()) {
        if (up && !exchange(bus)) {
            fprintf(stderr, "plc: exchange: %s\n", modbus_strerror(errno));
            up = false;
        } else if (!up) {
            scan(next);   /* the program runs on; STAT holds its last words, and the heartbeat stands still */
            up = modbus_connect(bus) == 0 && check_device(bus);
            was_up |= up;
        }
        if (!up) {
            modbus_close(bus);
            link_faults += was_up;
        }
        rest_until(next + (up ? SCAN : RETRY));
    }
    modbus_close(bus);
}

/* ---- direction C: Modbus server --------------------------------------------------------------------------------- */

static bool within(int address, int count, int begin, int size) {
    return begin <= address && address + count <= begin + size;
}

/* The appliance writes STAT and DIAG and nothing else. */
static bool allowed(const uint8_t *pdu) {
    const int address = pdu[1] << 8 | pdu[2], count = pdu[0] == 16 ? pdu[3] << 8 | pdu[4] : 1;
    if (pdu[0] == 3 || pdu[0] == 4) return true;
    return (pdu[0] == 6 || pdu[0] == 16) &&
           (within(address, count, STAT_AT, STAT_SIZE) || within(address, count, DIAG_AT, DIAG_SIZE));
}

static void answer(modbus_t *bus, modbus_mapping_t *memory, int fd, int listening, fd_set *open) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_set_socket(bus, fd);
    const int length = modbus_receive(bus, query);
    if (length > 0 && !allowed(query + modbus_get_header_length(bus))) {
        stray_writes++;
        modbus_reply_exception(bus, query, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
    } else if (length > 0) {
        modbus_reply(bus, query, length, memory);
    } else if (length < 0 && listening >= 0) {
        close(fd);
        FD_CLR(fd, open);
        link_faults++;
    }
}

/* Answer requests until the next scan is due. A request is answered whole: no image is torn. */
static void serve_until(double then, modbus_t *bus, modbus_mapping_t *memory, int listening, fd_set *open) {
    for (double left; (left = then - now_s()) > 0;) {
        fd_set ready = *open;
        struct timeval timeout = {0, (suseconds_t)(left * 1e6) + 1};
        if (select(FD_SETSIZE, &ready, NULL, NULL, &timeout) < 0) die("select");
        for (int fd = 0; fd < FD_SETSIZE; fd++) {
            if (!FD_ISSET(fd, &ready)) continue;
            if (fd != listening) {
                answer(bus, memory, fd, listening, open);
            } else {
                const int peer = accept(listening, NULL, NULL);
                if (peer < 0 || peer >= FD_SETSIZE) die("accept");
                FD_SET(peer, open);
            }
        }
    }
}

static int listen_at(modbus_t *bus) {
    struct sockaddr_in where;
    socklen_t size = sizeof where;
    const int listening = modbus_tcp_listen(bus, 4);
    if (listening < 0 || getsockname(listening, (struct sockaddr *)&where, &size) < 0) die("listen");
    printf("{\"listening\": %d}\n", ntohs(where.sin_port));
    return listening;
}

static void run_server(modbus_t *bus) {
    modbus_mapping_t *memory = modbus_mapping_new(0, 0, REGISTERS, 0);
    if (memory == NULL) die("memory");
    fd_set open;
    FD_ZERO(&open);
    if (opt.device != NULL && modbus_connect(bus) < 0) die(opt.device);
    const int listening = opt.device ? -1 : listen_at(bus);
    uint16_t *words = memory->tab_registers;
    FD_SET(opt.device ? modbus_get_socket(bus) : listening, &open);
    for (double next = now_s(); !over(next); next += SCAN) {
        memcpy(stat, words + STAT_AT, sizeof stat);
        scan(now_s());
        memcpy(words, ctrl, sizeof ctrl);
        serve_until(next + SCAN, bus, memory, listening, &open);
        memcpy(diag, words + DIAG_AT, sizeof diag);
    }
    modbus_mapping_free(memory);
    for (int fd = 0; fd < FD_SETSIZE; fd++)
        if (FD_ISSET(fd, &open)) close(fd);
}

/* ---- start ------------------------------------------------------------------------------------------------------ */

static void read_options(int argc, char **argv) {
    int c;
    if (argc < 2 || (strcmp(argv[1], "server") && strcmp(argv[1], "client"))) {
        fputs("usage: plc server|client [-p port | -d device] [-n parts] [-f part] [-i id] [-w big|little]\n", stderr);
        exit(2);
    }
    opt.client = strcmp(argv[1], "client") == 0;
    for (optind = 2; (c = getopt(argc, argv, "p:d:n:f:i:w:")) != -1;) {
        switch (c) {
        case 'p': opt.port = atoi(optarg); break;
        case 'd': opt.device = optarg; break;
        case 'n': opt.parts = atoi(optarg); break;
        case 'f': opt.first_part = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'i': opt.first_id = (uint16_t)atoi(optarg); break;
        case 'w': opt.little = strcmp(optarg, "little") == 0; break;
        default: exit(2);
        }
    }
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    setvbuf(stdout, NULL, _IOLBF, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);   /* no PLC outlives its test */
    modbus_t *bus = opt.device ? modbus_new_rtu(opt.device, 115200, 'N', 8, 1) : modbus_new_tcp("127.0.0.1", opt.port);
    if (bus == NULL || modbus_set_slave(bus, 1) < 0) die("bus");
    modbus_set_response_timeout(bus, 10, 0);
    ctrl[CONTROL] = TRIGGER_ENABLE;
    ctrl[SIGNATURE] = 0x51A0 + STATION;   /* a simulator: rendered parts may pass */
    fb.free_at = now_s();
    (opt.client ? run_client : run_server)(bus);
    modbus_free(bus);
    printf("{\"parts\": %d, \"link_faults\": %d, \"stray_writes\": %d, \"TRIGGERS\": %u, "
           "\"PASS\": %u, \"FAIL\": %u, \"UNCERTAIN\": %u, \"NOT_INSPECTED\": %u, \"LINK_SESSIONS\": %u}\n",
           fb.done, link_faults, stray_writes, get32(diag + TRIGGERS), get32(diag + PASSED), get32(diag + FAILED),
           get32(diag + UNCERTAIN), get32(diag + NOT_INSPECTED), get32(diag + LINK_SESSIONS));
    return 0;
}

/*
 * generator.c: sends messages to a milter, or directly to clamd, over parallel sessions, and times each of them.
 *
 *     generator milter|clamd SOCKET PLAN MESSAGES SESSIONS IN_SESSION FIRST
 *
 * One thread for each session, with blocking reads and writes. Every byte is prepared: the file PLAN, written by load.py,
 * has the messages as bursts (what is sent until a reply is required), with the places of the 14 bytes of the message's
 * number, from FIRST on. During the measurement the generator copies and computes nothing.
 *
 * It prints a line with the elapsed seconds and its CPU seconds, then the microseconds of each message. If a message is not
 * accepted, or there is no reply for a minute, it prints one line to stderr and exits with status 1.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

enum { MARK = 14, PIECES = 32, TIMEOUT = 60 };

struct burst {
    uint32_t length, marks;
    const uint32_t *mark; /* offsets */
    const char *bytes;
};
struct script {
    uint32_t count;
    struct burst *bursts;
};
struct message {
    struct script first, further; /* opening a session, and later in one */
};
struct reader {
    int fd;
    size_t from, until;
    char buffer[4096];
};

static struct burst greeting, farewell;
static struct message *messages; /* one of each kind */
static const uint32_t *cycle;    /* the order of the kinds */
static uint32_t cycle_length;

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static long wanted, in_session, first_number;
static atomic_long taken;
static double *latency;
static void (*converse)(struct reader *, long from, long count);

static void fail(const char *what) {
    fprintf(stderr, "generator: %s\n", what);
    exit(1);
}

static double now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

/* The plan: 32-bit numbers in the byte order of this machine; bytes are padded to a multiple of four. */

static struct burst read_burst(const uint32_t **at) {
    struct burst burst = {.length = (*at)[0], .marks = (*at)[1], .mark = *at + 2};
    if (burst.marks * 2 + 1 > PIECES) fail("too many marks in a burst");
    burst.bytes = (const char *)(burst.mark + burst.marks);
    *at = burst.mark + burst.marks + (burst.length + 3) / 4;
    return burst;
}

static struct script read_script(const uint32_t **at) {
    struct script script = {.count = *(*at)++};
    script.bursts = calloc(script.count, sizeof *script.bursts);
    for (uint32_t i = 0; i < script.count; i++) script.bursts[i] = read_burst(at);
    return script;
}

static void read_plan(const char *path) {
    struct stat status;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &status) < 0) fail("cannot read the plan");
    const uint32_t *at = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (at == MAP_FAILED) fail("cannot map the plan");
    greeting = read_burst(&at);
    farewell = read_burst(&at);
    uint32_t kinds = *at++;
    messages = calloc(kinds, sizeof *messages);
    for (uint32_t i = 0; i < kinds; i++) {
        messages[i].first = read_script(&at);
        messages[i].further = read_script(&at);
    }
    cycle_length = *at++;
    cycle = at;
}

/* Sending and receiving */

static int pieces(const struct burst *burst, char *number, struct iovec *piece) {
    uint32_t begin = 0;
    int count = 0;
    for (uint32_t i = 0; i < burst->marks; i++) {
        piece[count++] = (struct iovec){(char *)burst->bytes + begin, burst->mark[i] - begin};
        piece[count++] = (struct iovec){number, MARK};
        begin = burst->mark[i] + MARK;
    }
    piece[count++] = (struct iovec){(char *)burst->bytes + begin, burst->length - begin};
    return count;
}

static void put(int fd, const struct burst *burst, char *number) {
    struct iovec piece[PIECES], *at = piece;
    int count = pieces(burst, number, piece);
    while (count) {
        ssize_t sent = writev(fd, at, count);
        if (sent < 0) fail("the connection broke, or nothing is taken");
        for (; count && (size_t)sent >= at->iov_len; at++, count--) sent -= at->iov_len;
        if (count) {
            at->iov_base = (char *)at->iov_base + sent;
            at->iov_len -= sent;
        }
    }
}

static void fill(struct reader *reader) {
    ssize_t got = recv(reader->fd, reader->buffer, sizeof reader->buffer, 0);
    if (got <= 0) fail("the connection was closed, or no answer came");
    reader->from = 0;
    reader->until = got;
}

static unsigned char get(struct reader *reader) {
    if (reader->from == reader->until) fill(reader);
    return reader->buffer[reader->from++];
}

static int dial(void) {
    struct timeval limit = {TIMEOUT, 0};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("no socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("cannot connect");
    return fd;
}

static const struct message *kind(long place) { return &messages[cycle[place % cycle_length]]; }

/* Milter */

static char milter_reply(struct reader *reader) {
    uint32_t length = 0;
    for (int i = 0; i < 4; i++) length = length << 8 | get(reader);
    char code = get(reader);
    for (uint32_t i = 1; i < length; i++) get(reader);
    return code;
}

static void await_milter(struct reader *reader) {
    char answer[] = "the milter answered ?", code;
    do code = milter_reply(reader);
    while (strchr("+-2behimpq", code)); /* changes to the message, and "still at work" */
    answer[sizeof answer - 2] = code;
    if (!strchr("Oca", code)) fail(answer);
}

static void by_milter(struct reader *reader, long from, long count) {
    char number[MARK + 1];
    double began = now(CLOCK_MONOTONIC);
    reader->fd = dial();
    put(reader->fd, &greeting, number);
    await_milter(reader);
    for (long i = from; i < from + count; i++) {
        const struct script *script = i == from ? &kind(i)->first : &kind(i)->further;
        snprintf(number, sizeof number, "B%013ld", first_number + i);
        for (uint32_t j = 0; j < script->count; j++) {
            put(reader->fd, &script->bursts[j], number);
            await_milter(reader);
        }
        double ended = now(CLOCK_MONOTONIC);
        latency[i] = ended - began;
        began = ended;
    }
    put(reader->fd, &farewell, number);
}

/* clamd: one memory file for each message, as a client must make one of the bytes that it received */

static void pass(int fd, int file) {
    char command[] = "zFILDES\0", control[CMSG_SPACE(sizeof file)] = {0};
    struct iovec piece = {command, sizeof command}; /* one byte more than the command, for the descriptor */
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof file);
    memcpy(CMSG_DATA(head), &file, sizeof file);
    if (sendmsg(fd, &message, 0) != sizeof command) fail("cannot pass a descriptor");
}

static void await_clamd(struct reader *reader) {
    char answer[300];
    size_t length = 0;
    do answer[length] = get(reader);
    while (answer[length] && ++length < sizeof answer - 1);
    answer[length] = 0;
    if (length < 4 || strcmp(answer + length - 4, ": OK")) fail(answer);
}

static void by_clamd(struct reader *reader, long from, long count) {
    char number[MARK + 1];
    double began = now(CLOCK_MONOTONIC);
    reader->fd = dial();
    put(reader->fd, &greeting, number);
    for (long i = from; i < from + count; i++) {
        int file = memfd_create("message", MFD_CLOEXEC);
        if (file < 0) fail("no memory file");
        snprintf(number, sizeof number, "B%013ld", first_number + i);
        put(file, kind(i)->further.bursts, number);
        pass(reader->fd, file);
        await_clamd(reader);
        close(file);
        double ended = now(CLOCK_MONOTONIC);
        latency[i] = ended - began;
        began = ended;
    }
    put(reader->fd, &farewell, number);
}

static void *sessions(void *unused) {
    long from;
    (void)unused;
    while ((from = atomic_fetch_add(&taken, in_session)) < wanted) {
        struct reader reader = {0};
        converse(&reader, from, from + in_session < wanted ? in_session : wanted - from);
        close(reader.fd);
    }
    return NULL;
}

static double used(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void run(long count) {
    pthread_t *threads = calloc(count, sizeof *threads);
    double cpu = used(), began = now(CLOCK_MONOTONIC);
    for (long i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, sessions, NULL)) fail("no thread");
    for (long i = 0; i < count; i++) pthread_join(threads[i], NULL);
    printf("%.6f %.6f\n", now(CLOCK_MONOTONIC) - began, used() - cpu);
    for (long i = 0; i < wanted; i++) printf("%.0f\n", latency[i] * 1e6);
    free(threads);
}

int main(int count, char **words) {
    if (count != 8 || strlen(words[2]) >= sizeof address.sun_path) {
        fprintf(stderr, "usage: %s milter|clamd SOCKET PLAN MESSAGES SESSIONS IN_SESSION FIRST\n", words[0]);
        return 2;
    }
    converse = strcmp(words[1], "clamd") ? by_milter : by_clamd;
    strcpy(address.sun_path, words[2]);
    read_plan(words[3]);
    wanted = atol(words[4]), in_session = atol(words[6]), first_number = atol(words[7]);
    latency = calloc(wanted, sizeof *latency);
    run(atol(words[5]));
    return 0;
}

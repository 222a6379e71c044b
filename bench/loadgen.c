/* A load generator for one core: keeps CONNECTIONS requests under way, each request sent once.
 *
 *   loadgen ADDRESS PORT REQUESTS CONNECTIONS SECONDS WARM_SECONDS
 *
 * REQUESTS is a file of records: 4 bytes length (little-endian), then a whole HTTP/1.1 request.
 * They are sent in the order of the file, none twice; it ends early when they are used up.
 * Bodies are received with MSG_TRUNC: the kernel discards them without a copy, so that the
 * measure is the server's work and not ours. Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MOST = 16384, LATENCIES = 1 << 22 };

struct connection {
    int descriptor;
    long left;       /* bytes of the body to come; -1 while the head is read */
    int head_length;
    int must_close;
    uint32_t sent, length;
    const char *request;
    double begun;
    char head[HEAD_MOST];
};

static const char *records, *records_end;
static struct sockaddr_in server;
static int poll_descriptor, used_up;
static long errors, answered, counted, bytes;
static char first_error[160];
static float *latencies;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void watch(struct connection *c, uint32_t events, int operation) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(poll_descriptor, operation, c->descriptor, &event);
}

static void push(struct connection *c) {
    while (c->sent < c->length) {
        ssize_t n = send(c->descriptor, c->request + c->sent, c->length - c->sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN) watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            else errors++;
            return;
        }
        c->sent += n;
    }
}

static void next_request(struct connection *c) {
    if (records >= records_end) { used_up = 1; return; }
    memcpy(&c->length, records, 4);
    c->request = records + 4;
    records += 4 + c->length;
    c->sent = 0;
    c->left = -1;
    c->head_length = 0;
    c->begun = now();
    push(c);
}

static void open_connection(struct connection *c) {
    int one = 1;
    c->descriptor = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->descriptor, (void *)&server, sizeof server)) { perror("connect"); exit(1); }
    setsockopt(c->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->descriptor, F_SETFL, O_NONBLOCK);
    c->must_close = 0;
    watch(c, EPOLLIN, EPOLL_CTL_ADD);
    next_request(c);
}

static void failed(struct connection *c) {
    errors++;
    close(c->descriptor);
    open_connection(c);
}

static int read_head(struct connection *c) {
    ssize_t n = recv(c->descriptor, c->head + c->head_length, HEAD_MOST - 1 - c->head_length, 0);
    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) return 0;
        failed(c);
        return 0;
    }
    c->head_length += n;
    c->head[c->head_length] = 0;
    char *end = memmem(c->head, c->head_length, "\r\n\r\n", 4);
    if (!end) {
        if (c->head_length >= HEAD_MOST - 1) failed(c);
        return 0;
    }
    long body = c->head_length - (end + 4 - c->head);
    *end = 0;
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    int code = atoi(c->head + 9);
    if ((code != 200 && code != 206) || !length) {
        errors++;
        if (!first_error[0]) snprintf(first_error, sizeof first_error, "%.150s", c->head);
    }
    c->must_close = strcasestr(c->head, "\r\nconnection: close") != NULL;
    c->left = (length ? atol(length + 17) : 0) - body;
    bytes += body;
    return 1;
}

static void readable(struct connection *c, int counting, char *sink) {
    for (;;) {
        if (c->left < 0 && !read_head(c)) return;
        while (c->left > 0) {
            ssize_t n = recv(c->descriptor, sink, c->left, MSG_TRUNC);
            if (n <= 0) {
                if (n < 0 && errno == EAGAIN) return;
                failed(c);
                return;
            }
            c->left -= n;
            bytes += n;
        }
        answered++;
        if (counting && counted < LATENCIES) latencies[counted++] = (now() - c->begun) * 1e6;
        if (c->must_close) { close(c->descriptor); open_connection(c); return; }
        next_request(c);
        if (used_up) return;
    }
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

int main(int count, char **words) {
    if (count != 7) { fprintf(stderr, "see the head of the source\n"); return 2; }
    int connections = atoi(words[4]), file = open(words[3], O_RDONLY), counting = 0;
    double seconds = atof(words[5]), warm = atof(words[6]);
    struct stat status;
    if (file < 0 || fstat(file, &status)) { perror(words[3]); return 1; }
    records = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    records_end = records + status.st_size;
    latencies = malloc(sizeof(float) * LATENCIES);
    char *sink = malloc(1 << 20);
    server.sin_family = AF_INET;
    server.sin_port = htons(atoi(words[2]));
    inet_pton(AF_INET, words[1], &server.sin_addr);
    poll_descriptor = epoll_create1(0);
    struct connection *all = calloc(connections, sizeof *all);
    for (int i = 0; i < connections; i++) open_connection(&all[i]);
    double begin = now() + warm, end = begin + seconds;
    struct epoll_event events[256];
    while (!used_up) {
        int n = epoll_wait(poll_descriptor, events, 256, 100);
        double t = now();
        if (!counting && t >= begin) { counting = 1; begin = t; end = t + seconds; bytes = 0; }
        if (counting && t >= end) break;
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) { watch(c, EPOLLIN, EPOLL_CTL_MOD); push(c); }
            if (events[i].events & ~EPOLLOUT) readable(c, counting, sink);
        }
    }
    double took = now() - begin;
    qsort(latencies, counted, sizeof *latencies, by_size);
    for (char *p = first_error; *p; p++) if (*p < 32 || *p == '"') *p = ' ';
    printf("{\"requests\": %ld, \"seconds\": %.3f, \"bytes\": %ld, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"errors\": %ld, \"answered\": %ld, \"used_up\": %d, \"first_error\": \"%s\"}\n",
           counted, took, bytes, counted ? latencies[counted / 2] : 0,
           counted ? latencies[counted * 99 / 100] : 0, errors, answered, used_up, first_error);
    return 0;
}

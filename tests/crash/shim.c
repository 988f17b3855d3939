// Preloaded into the agent by `run`: counts the file operations below SHIM_DIR, and injects the fault SHIM_DO into the one with the
// number SHIM_AT: fail (return the error number SHIM_ERRNO), kill (end the process before the operation) or tear (write half of the
// bytes, then end the process; counts writes only). The fault, the operation and the path go to SHIM_LOG. With SHIM_SLOW, each fsync
// and fdatasync there takes that many seconds. With SHIM_JOURNAL, each change there that succeeded is appended to that file, so that
// `run` knows what a power failure may undo.
//
// Unnamed files that get their name later (O_TMPFILE, linkat) are not covered.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long counted;

// Whether the calling operation must fail. `bytes` is NULL unless it is a write.
static int fails(const char *path, const char *name, int fd, const void *bytes, size_t length) {
    const char *dir = getenv("SHIM_DIR"), *at = getenv("SHIM_AT"), *what = getenv("SHIM_DO");
    if (!dir || !at || !what || strncmp(path, dir, strlen(dir)) != 0) return 0;
    // Elsewhere a tear would be the same as a kill.
    if (strcmp(what, "tear") == 0 && !bytes) return 0;
    if (atomic_fetch_add(&counted, 1) + 1 != atol(at)) return 0;
    char line[PATH_MAX + 64];
    int size = snprintf(line, sizeof line, "%s %s %s\n", what, name, path);
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    ssize_t (*real_write)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    int log = real_open(getenv("SHIM_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (real_write(log, line, size) != size) _exit(99);
    if (strcmp(what, "tear") == 0 && real_write(fd, bytes, length / 2) < 0) _exit(99);
    if (strcmp(what, "fail") != 0) _exit(137);
    errno = atoi(getenv("SHIM_ERRNO"));
    return 1;
}

// The path of an open file; 0 if it has none.
static int path_of(int fd, char path[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int saved = errno;
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    errno = saved;
    if (size < 0) return 0;
    path[size] = 0;
    return 1;
}

static int fails_fd(int fd, const char *name, const void *bytes, size_t length) {
    char path[PATH_MAX];
    return path_of(fd, path) && fails(path, name, fd, bytes, length);
}

#define REAL(type, name, ...) type (*real)(__VA_ARGS__) = dlsym(RTLD_NEXT, name)

// Held during an operation that may change a file and its record in the journal, so that the records are in order.
static pthread_mutex_t journal = PTHREAD_MUTEX_INITIALIZER;

// Appends "what inode number length path", and `length` bytes, to the journal, if the operation on `path` succeeded. The descriptor
// is -1 for operations on names.
static void record(const char *what, int fd, const char *path, long number, const void *bytes, size_t length) {
    const char *dir = getenv("SHIM_DIR"), *name = getenv("SHIM_JOURNAL");
    char of_fd[PATH_MAX];
    if (!dir || !name) return;
    if (!path) path = path_of(fd, of_fd) ? of_fd : "";
    if (strncmp(path, dir, strlen(dir)) != 0) return;
    int saved = errno;
    struct stat status = {0};
    if (fd >= 0) fstat(fd, &status);
    char line[PATH_MAX + 128];
    int size = snprintf(line, sizeof line, "%s %lu %ld %zu %s\n", what, (unsigned long)status.st_ino, number, length, path);
    int (*real_open)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
    ssize_t (*real_write)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    int log = real_open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (real_write(log, line, size) != size || real_write(log, bytes, length) != (ssize_t)length) _exit(99);
    close(log);
    errno = saved;
}

static int opened(const char *name, const char *path, int flags, va_list rest) {
    // O_TMPFILE contains the bit of O_DIRECTORY, which has no mode.
    int has_mode = (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = has_mode ? va_arg(rest, mode_t) : 0;
    if (fails(path, name, -1, NULL, 0)) return -1;
    REAL(int, name, const char *, int, ...);
    pthread_mutex_lock(&journal);
    int exists = access(path, F_OK) == 0;
    int fd = real(path, flags, mode);
    if (fd >= 0 && !exists) record("create", fd, path, 0, NULL, 0);
    if (fd >= 0 && exists && (flags & O_TRUNC)) record("truncate", fd, path, 0, NULL, 0);
    pthread_mutex_unlock(&journal);
    return fd;
}

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int fd = opened("open", path, flags, rest);
    va_end(rest);
    return fd;
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int fd = opened("open64", path, flags, rest);
    va_end(rest);
    return fd;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (fails_fd(fd, "write", bytes, length)) return -1;
    REAL(ssize_t, "write", int, const void *, size_t);
    // Not for pipes and sockets, where a write may wait.
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return real(fd, bytes, length);
    pthread_mutex_lock(&journal);
    ssize_t written = real(fd, bytes, length);
    if (written > 0) record("write", fd, NULL, lseek(fd, 0, SEEK_CUR) - written, bytes, written);
    pthread_mutex_unlock(&journal);
    return written;
}

static void wait_if_slow(int fd) {
    const char *dir = getenv("SHIM_DIR"), *slow = getenv("SHIM_SLOW");
    char path[PATH_MAX];
    if (slow && dir && path_of(fd, path) && strncmp(path, dir, strlen(dir)) == 0) sleep(atoi(slow));
}

#define ON_FD(name)                             \
    int name(int fd) {                          \
        if (fails_fd(fd, #name, NULL, 0)) return -1; \
        wait_if_slow(fd);                       \
        REAL(int, #name, int);                  \
        pthread_mutex_lock(&journal);           \
        int result = real(fd);                  \
        if (result == 0) record("sync", fd, NULL, 0, NULL, 0); \
        pthread_mutex_unlock(&journal);         \
        return result;                          \
    }
ON_FD(fsync)
ON_FD(fdatasync)

int flock(int fd, int how) {
    if (fails_fd(fd, "flock", NULL, 0)) return -1;
    REAL(int, "flock", int, int);
    return real(fd, how);
}

int fchmod(int fd, mode_t mode) {
    if (fails_fd(fd, "fchmod", NULL, 0)) return -1;
    REAL(int, "fchmod", int, mode_t);
    return real(fd, mode);
}

int ftruncate64(int fd, off64_t length) {
    if (fails_fd(fd, "ftruncate64", NULL, 0)) return -1;
    REAL(int, "ftruncate64", int, off64_t);
    pthread_mutex_lock(&journal);
    int result = real(fd, length);
    if (result == 0) record("truncate", fd, NULL, length, NULL, 0);
    pthread_mutex_unlock(&journal);
    return result;
}

int rename(const char *from, const char *to) {
    if (fails(to, "rename", -1, NULL, 0)) return -1;
    REAL(int, "rename", const char *, const char *);
    pthread_mutex_lock(&journal);
    int result = real(from, to);
    if (result == 0) record("rename", -1, to, 0, from, strlen(from));
    pthread_mutex_unlock(&journal);
    return result;
}

// Fails in no run; a power failure may undo it.
int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    pthread_mutex_lock(&journal);
    int result = real(path);
    if (result == 0) record("unlink", -1, path, 0, NULL, 0);
    pthread_mutex_unlock(&journal);
    return result;
}

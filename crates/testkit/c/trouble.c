/*
 * What befalls a machine and cannot be done to one for a test: a full disk, and a clock that jumps.
 *
 * Loaded before the C library by LD_PRELOAD. The file that GRISTMILL_TROUBLE names is shared with the
 * test, and has four numbers of eight bytes: whether regular files can be written (0) or not, by how many
 * seconds the wall clock is off, how often files were synced, and how many writes were refused. What is
 * there already cannot be written over either, as on a full disk that copies on write.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct control {
    volatile int64_t full;
    volatile int64_t clock_offset;
    int64_t syncs;
    int64_t refusals;
};

static struct control none;
static struct control *control = &none;

__attribute__((constructor)) static void attach(void)
{
    const char *path = getenv("GRISTMILL_TROUBLE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *shared = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared != MAP_FAILED)
        control = shared;
}

/* Whether the disk takes what is to be written there. */
static int is_refused(int fd)
{
    struct stat file;
    if (!control->full || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode))
        return 0;
    __atomic_add_fetch(&control->refusals, 1, __ATOMIC_SEQ_CST);
    errno = ENOSPC;
    return 1;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    return is_refused(fd) ? -1 : syscall(SYS_write, fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    return is_refused(fd) ? -1 : syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return pwrite(fd, bytes, count, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return is_refused(fd) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    return fallocate(fd, mode, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    return fallocate(fd, 0, offset, length) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    return posix_fallocate(fd, offset, length);
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t count, unsigned flags)
{
    return is_refused(to) ? -1 : syscall(SYS_copy_file_range, from, from_at, to, to_at, count, flags);
}

static int synced(int result)
{
    if (result == 0)
        __atomic_add_fetch(&control->syncs, 1, __ATOMIC_SEQ_CST);
    return result;
}

int fsync(int fd)
{
    return synced((int)syscall(SYS_fsync, fd));
}

int fdatasync(int fd)
{
    return synced((int)syscall(SYS_fdatasync, fd));
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += control->clock_offset;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int result = (int)syscall(SYS_gettimeofday, now, zone);
    if (result == 0)
        now->tv_sec += control->clock_offset;
    return result;
}

time_t time(time_t *now)
{
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now)
        *now = precise.tv_sec;
    return precise.tv_sec;
}

/*
 * What befalls a machine and cannot be done to one for a test: a full disk, and a clock that jumps.
 *
 * Loaded before the C library by LD_PRELOAD. The file that GRISTMILL_TROUBLE names is shared with the
 * test: its first eight bytes say whether regular files can grow (0) or not, the next eight by how many
 * seconds the wall clock is off, and in the last eight it is counted how often files were synced.
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

/* Whether a write that ends there would need room that the disk has not. */
static int has_no_room(int fd, off_t end)
{
    struct stat file;
    if (!control->full || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || end <= file.st_size)
        return 0;
    errno = ENOSPC;
    return 1;
}

static off_t end_of_write(int fd, size_t count)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat file;
    if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &file) == 0)
        return file.st_size + (off_t)count;
    return lseek(fd, 0, SEEK_CUR) + (off_t)count;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    if (control->full && has_no_room(fd, end_of_write(fd, count)))
        return -1;
    return syscall(SYS_write, fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    if (has_no_room(fd, offset + (off_t)count))
        return -1;
    return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return pwrite(fd, bytes, count, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    if (has_no_room(fd, offset + length))
        return -1;
    return (int)syscall(SYS_fallocate, fd, mode, offset, length);
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
    if (control->full && has_no_room(to, (to_at ? *to_at : lseek(to, 0, SEEK_CUR)) + (off_t)count))
        return -1;
    return syscall(SYS_copy_file_range, from, from_at, to, to_at, count, flags);
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

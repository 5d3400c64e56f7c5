// Preloaded into a process, it sets that process's clock, and leaves the steady clock alone: the time of the system
// plus the seconds in the file CLOCK_OFFSET_FILE, which may change meanwhile. The library faketime cannot do this
// without failing Python's time.sleep.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset() {
  const char* path = getenv("CLOCK_OFFSET_FILE");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return 0;
  char text[32] = {0};
  ssize_t count = read(file, text, sizeof text - 1);
  close(file);
  return count > 0 ? atol(text) : 0;
}

extern "C" int clock_gettime(clockid_t clock, struct timespec* now) noexcept {
  int result = syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
  return result;
}

extern "C" int gettimeofday(struct timeval* now, void*) noexcept {
  struct timespec found;
  int result = clock_gettime(CLOCK_REALTIME, &found);
  now->tv_sec = found.tv_sec, now->tv_usec = found.tv_nsec / 1000;
  return result;
}

extern "C" time_t time(time_t* to) noexcept {
  struct timespec found;
  clock_gettime(CLOCK_REALTIME, &found);
  if (to) *to = found.tv_sec;
  return found.tv_sec;
}

// A wait until a time of the system's clock lasts until that clock shows it, also if it was set meanwhile.
extern "C" int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const struct timespec* end) {
  using Wait = int (*)(pthread_cond_t*, pthread_mutex_t*, const struct timespec*);
  static Wait wait = (Wait)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  if (!wait) wait = (Wait)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  if (end->tv_sec < 1000000000L) return wait(condition, mutex, end);  // a time of the steady clock
  for (;;) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long left = (end->tv_sec - now.tv_sec) * 1000000000L + end->tv_nsec - now.tv_nsec;
    if (left <= 0) return ETIMEDOUT;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    now.tv_nsec += left < 10000000L ? left : 10000000L;
    if (now.tv_nsec >= 1000000000L) now.tv_sec++, now.tv_nsec -= 1000000000L;
    int result = wait(condition, mutex, &now);
    if (result != ETIMEDOUT) return result;
  }
}

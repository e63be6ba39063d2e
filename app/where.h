/*
 * Where a thread is, as the kernel and the stack see it: for the report of a
 * stop that hangs. Texts are one line, cut to fit, without a newline.
 */
#ifndef CRATOS_WHERE_H
#define CRATOS_WHERE_H

#include <stddef.h>
#include <sys/types.h>

enum { WHERE_TEXT = 160, WHERE_FRAMES = 24, WHERE_CALL = 32, WHERE_NAME = 32 };

/*
 * Where thread tid of process pid is, which may be any process: its system
 * call, with the descriptor it is about, and the kernel's wait channel.
 *
 *	read(7) on pipe:[8127], in pipe_read
 *	futex, in futex_wait_queue
 *	read(4) on /mnt/a, in rpc_wait_bit_killable, uninterruptible
 *	running
 *	not there any more
 *
 * What may not be read of a foreign process is left out; the least is a state:
 * "sleeping", "stopped", "a zombie". The parts are read one after the other, so
 * they agree only for a thread that stays where it is. Names of system calls
 * are those of this program's ABI, and wrong for a process of another. Does not
 * block, from any thread.
 */
void where_thread(pid_t pid, pid_t tid, char text[static WHERE_TEXT]);

/* What the thread is called, "thread" if that cannot be read. */
void where_name(pid_t pid, pid_t tid, char name[static WHERE_NAME]);

/*
 * The threads of a process, the first max of them in tids. Returns how many
 * there are, which may be more than max; 0 if the process is not there. Does
 * not block, from any thread.
 */
size_t where_threads(pid_t pid, pid_t *tids, size_t max);

/* "read", or "system call 999" in text for one that has no name here. */
const char *where_call(long number, char text[static WHERE_CALL]);

/*
 * Loads what where_backtrace needs, which is to be done while all is well:
 * it takes memory, and the lock that a thread in dlopen(3) holds. Once is
 * enough; from any thread.
 */
void where_prepare(void);

/*
 * The stack of another thread of this process, innermost frame first, at most
 * max and WHERE_FRAMES of them. Returns the number of frames, 0 if there are
 * none to be had: the thread has ended, or does not answer as it is in an
 * uninterruptible call or blocks SIGSYS; where_prepare was not called; the
 * program has a SIGSYS handler with SA_RESETHAND; it runs under valgrind, which
 * gives up on such a signal; or libc has no backtrace(3).
 * Blocks for up to 200 ms, and as long for each other caller before this one.
 * From any thread.
 *
 * Only for a thread that is given up: a signal makes it say its own stack, and
 * interrupts its system call. Most are restarted, but poll, epoll_wait, pause
 * and nanosleep (see signal(7)) return EINTR to whoever called them there.
 */
int where_backtrace(pid_t tid, void **frames, int max);

/*
 * "write+0x1f in /lib/libc.so.6 (+0xf813f)" of a frame; without the name if it
 * has none that the dynamic linker knows. The offsets are those of the call
 * rather than of the return address, so addr2line -e FILE 0xf813f tells its
 * line. Does not take dlopen's lock. From any thread.
 */
void where_frame(const void *frame, char text[static WHERE_TEXT]);

#endif

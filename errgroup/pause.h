/* A moment in a loop that waits awake: the other side of the core may go on. */
#ifndef CRATOS_PAUSE_H
#define CRATOS_PAUSE_H

static inline void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb");
#endif
}

#endif

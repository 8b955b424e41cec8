/*
 * Lets User-Mode Linux 6.1 run where the processor state is larger than it knows.
 *
 * UML keeps room for 2696 octets of extended processor state (XSAVE). On processors with
 * AMX the host's area is larger, the host refuses a write of fewer octets with EFAULT, and
 * the guest dies in its first process. Preloaded into linux.uml, this ptrace() writes the
 * host's full size: UML's octets first, zeros behind them, and the bitmap of valid
 * components cut to those that fit. Where the sizes agree it changes nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
	REGSET_XSTATE = 0x202,
	XSTATE_BV_OFFSET = 512,
	COMPONENTS_THAT_FIT = 0x3ff, /* x87 to PKRU: all that ends below octet 2696 */
	LARGEST = 65536,
};

static unsigned char area[LARGEST] __attribute__((aligned(64)));

static long raw_ptrace(long request, long pid, void *address, void *data)
{
	return syscall(SYS_ptrace, request, pid, address, data);
}

static size_t host_octets(long pid)
{
	static size_t octets;

	if (octets == 0) {
		struct iovec probe = { area, sizeof(area) };

		if (raw_ptrace(PTRACE_GETREGSET, pid, (void *)REGSET_XSTATE, &probe) == 0)
			octets = probe.iov_len;
	}
	return octets;
}

static long write_xstate(long pid, struct iovec *given)
{
	size_t octets = host_octets(pid);
	uint64_t components;
	struct iovec padded = { area, octets };

	if (octets <= given->iov_len || given->iov_len < XSTATE_BV_OFFSET + sizeof(components))
		return raw_ptrace(PTRACE_SETREGSET, pid, (void *)REGSET_XSTATE, given);

	memcpy(area, given->iov_base, given->iov_len);
	memset(area + given->iov_len, 0, octets - given->iov_len);
	memcpy(&components, area + XSTATE_BV_OFFSET, sizeof(components));
	components &= COMPONENTS_THAT_FIT;
	memcpy(area + XSTATE_BV_OFFSET, &components, sizeof(components));
	return raw_ptrace(PTRACE_SETREGSET, pid, (void *)REGSET_XSTATE, &padded);
}

/* The raw call stores a peeked word through `data`; the library's contract is to return it. */
static long peek(long request, long pid, void *address)
{
	long word;

	if (raw_ptrace(request, pid, address, &word) < 0)
		return -1;
	errno = 0;
	return word;
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list arguments;
	long pid;
	void *address, *data;

	va_start(arguments, request);
	pid = va_arg(arguments, pid_t);
	address = va_arg(arguments, void *);
	data = va_arg(arguments, void *);
	va_end(arguments);

	switch (request) {
	case PTRACE_PEEKTEXT:
	case PTRACE_PEEKDATA:
	case PTRACE_PEEKUSER:
		return peek(request, pid, address);
	case PTRACE_SETREGSET:
		if ((long)address == REGSET_XSTATE)
			return write_xstate(pid, data);
		break;
	default:
		break;
	}
	return raw_ptrace(request, pid, address, data);
}

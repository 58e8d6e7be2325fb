/* What a program does to itself before it holds anything worth taking. */
#ifndef CW_BASE_PROCESS_H
#define CW_BASE_PROCESS_H

/* From here on the memory of this process is its own: it makes no core file, none is handed to a
 * program of kernel.core_pattern either (core(5): a limit of 0 does not hold there), and no other
 * process of the same user (without CAP_SYS_PTRACE) reads its memory, environment or descriptors
 * (prctl(2), PR_SET_DUMPABLE). First thing in main; what stays readable in /proc are status, stat,
 * limits and the like. Does not fail. */
void cw_process_conceal(void);

#endif

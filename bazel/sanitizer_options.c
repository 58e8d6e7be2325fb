/* Sanitizer options baked into each program, so that they hold for servers that a test starts, too.
 */
#if defined(__has_feature)
#define CW_HAS(x) __has_feature(x)
#else
#define CW_HAS(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || CW_HAS(address_sanitizer)
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "abort_on_error=1:detect_stack_use_after_return=1";
}
#endif

#if defined(__SANITIZE_THREAD__) || CW_HAS(thread_sanitizer)
/* libgrpc is not instrumented: common/rpc tells TSan what its completion queue orders. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1:halt_on_error=1";
}
#endif

__attribute__((visibility("default"))) const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1:halt_on_error=1";
}

/*
 * A library that a sendmail under test loads first (see preload.py): it logs to a socket of the test's own instead of
 * /dev/log, and this host's name gets a dot, without which sendmail sleeps 60 seconds at each start.
 *
 * SASL reads its settings in a folder of the test's own, too.
 *
 * LOG_SOCKET, HOST_NAME, DOTTED_NAME and SASL_FOLDER are strings given to the compiler: sendmail drops its environment first thing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char *tag = "sendmail";

/* One datagram, as syslog(3) sends it. Waits while the collector is behind; without a collector nothing is said. */
static void say(const char *format, va_list values)
{
    int saved = errno, handle = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = LOG_SOCKET};
    char line[8192];
    time_t now = time(NULL);
    struct tm broken;
    size_t used = strftime(line, sizeof line, "%b %e %H:%M:%S ", localtime_r(&now, &broken));

    used += snprintf(line + used, sizeof line - used, "%s[%d]: ", tag, getpid());
    errno = saved; /* for %m */
    vsnprintf(line + used, sizeof line - used, format, values);
    sendto(handle, line, strlen(line), MSG_NOSIGNAL, (struct sockaddr *)&address, sizeof address);
    close(handle);
    errno = saved;
}

void openlog(const char *ident, int option, int facility)
{
    tag = ident;
}

void syslog(int priority, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    say(format, values);
    va_end(values);
}

/* what syslog is called in a program built with _FORTIFY_SOURCE */
void __syslog_chk(int priority, int flag, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    say(format, values);
    va_end(values);
}

/* sasl_set_path(3): 1 is SASL_PATH_TYPE_CONFIG. Absent in a program without SASL, such as a shell. */
__attribute__((constructor)) static void look_for_sasl_settings_here(void)
{
    int (*set_path)(int, char *) = dlsym(RTLD_DEFAULT, "sasl_set_path");

    if (set_path != NULL)
        set_path(1, SASL_FOLDER);
}

static struct hostent *not_found(void)
{
    h_errno = HOST_NOT_FOUND;
    return NULL;
}

/* This host's name, as if "127.0.0.1 DOTTED_NAME HOST_NAME" stood in /etc/hosts; any other name as ever. */
struct hostent *gethostbyname2(const char *name, int family)
{
    static struct in_addr loopback;
    static char *aliases[] = {HOST_NAME, NULL}, *addresses[] = {(char *)&loopback, NULL};
    static struct hostent own = {DOTTED_NAME, aliases, AF_INET, sizeof loopback, addresses};
    struct hostent *(*next)(const char *, int) = dlsym(RTLD_NEXT, "gethostbyname2");

    if (strcmp(name, HOST_NAME) != 0 && strcmp(name, DOTTED_NAME) != 0)
        return next(name, family);
    loopback.s_addr = htonl(INADDR_LOOPBACK);
    return family == AF_INET ? &own : not_found();
}

/* The other addresses of 127/8 play strangers in tests: they have no name, and no server is asked for one. */
struct hostent *gethostbyaddr(const void *address, socklen_t length, int family)
{
    struct hostent *(*next)(const void *, socklen_t, int) = dlsym(RTLD_NEXT, "gethostbyaddr");
    in_addr_t number = family == AF_INET ? ntohl(*(const in_addr_t *)address) : 0;

    if (number >> 24 == IN_LOOPBACKNET && number != INADDR_LOOPBACK)
        return not_found();
    return next(address, length, family);
}

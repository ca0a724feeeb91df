/*
 * accept.c: a milter that receives every step of a message, reads nothing and accepts; `accept SOCKET`.
 *
 * Its cost is that of libmilter and the load, the lower bound for any filter that receives whole messages. As many steps
 * as the MTA allows go without a reply.
 */

#include <libmilter/mfapi.h>
#include <stdio.h>

static sfsistat negotiate(SMFICTX *context, unsigned long actions, unsigned long steps, unsigned long unused2,
                          unsigned long unused3, unsigned long *wanted_actions, unsigned long *wanted_steps,
                          unsigned long *wanted2, unsigned long *wanted3) {
    (void)context, (void)actions, (void)unused2, (void)unused3;
    *wanted_actions = 0;
    *wanted_steps = steps & (SMFIP_NOHELO | SMFIP_NODATA | SMFIP_NOUNKNOWN | SMFIP_NR_CONN | SMFIP_NR_RCPT |
                             SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY);
    *wanted2 = *wanted3 = 0;
    return SMFIS_CONTINUE;
}

static sfsistat connected(SMFICTX *context, char *name, _SOCK_ADDR *address) {
    (void)context, (void)name, (void)address;
    return SMFIS_NOREPLY;
}

static sfsistat sender(SMFICTX *context, char **arguments) {
    (void)context, (void)arguments;
    return SMFIS_CONTINUE;
}

static sfsistat recipient(SMFICTX *context, char **arguments) {
    (void)context, (void)arguments;
    return SMFIS_NOREPLY;
}

static sfsistat header(SMFICTX *context, char *name, char *value) {
    (void)context, (void)name, (void)value;
    return SMFIS_NOREPLY;
}

static sfsistat end_of_headers(SMFICTX *context) {
    (void)context;
    return SMFIS_NOREPLY;
}

static sfsistat body(SMFICTX *context, unsigned char *chunk, size_t length) {
    (void)context, (void)chunk, (void)length;
    return SMFIS_NOREPLY;
}

static sfsistat end_of_message(SMFICTX *context) {
    (void)context;
    return SMFIS_ACCEPT;
}

int main(int count, char **words) {
    struct smfiDesc filter = {
        .xxfi_name = "accept",
        .xxfi_version = SMFI_VERSION,
        .xxfi_connect = connected,
        .xxfi_envfrom = sender,
        .xxfi_envrcpt = recipient,
        .xxfi_header = header,
        .xxfi_eoh = end_of_headers,
        .xxfi_body = body,
        .xxfi_eom = end_of_message,
        .xxfi_negotiate = negotiate,
    };
    if (count != 2) {
        fprintf(stderr, "usage: %s SOCKET\n", words[0]);
        return 2;
    }
    if (smfi_setconn(words[1]) != MI_SUCCESS || smfi_register(filter) != MI_SUCCESS) return 1;
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}

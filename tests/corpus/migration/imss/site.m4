dnl From imss.ini, for make -C sendmail OUT=/etc/mail SITE=/etc/mail/site.m4
dnl An absent setting has its default: sendmail/README.md lists them all.
define(`SITE_DELIVERY_FROM', `127.0.0.1 192.0.2 198.51.100.8 198.51.100.9 198.51.100.10 198.51.100.11 IPv6:2001:db8::25')dnl
define(`SITE_DELIVERY_HOST', `[127.0.0.1]')dnl
define(`SITE_DELIVERY_PORT', `19000')dnl
define(`SITE_MESSAGE_SIZE', `31457280')dnl

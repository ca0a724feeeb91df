dnl From intscan.ini, for make -C sendmail OUT=/etc/mail SITE=/etc/mail/site.m4
dnl An absent setting has its default: sendmail/README.md lists them all.
define(`SITE_HANDOFF', `program')dnl
define(`SITE_DELIVERY_PROGRAM', `/usr/lib/sendmail')dnl
define(`SITE_DELIVERY_CF', `/etc/mail/sendmail.cf.delivery')dnl
define(`SITE_DELIVERY_FROM', `127.0.0.1')dnl

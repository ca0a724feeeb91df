divert(-1)
#
# mailers.m4: settings of the mailers of both sides.
#
# Flag k: the two sendmails have the same name; without k they report "mail loops back to me". Each mailer has a line,
# because none of these names includes another.
MODIFY_MAILER_FLAGS(`SMTP', `+k')
MODIFY_MAILER_FLAGS(`ESMTP', `+k')
MODIFY_MAILER_FLAGS(`SMTP8', `+k')
MODIFY_MAILER_FLAGS(`DSMTP', `+k')
MODIFY_MAILER_FLAGS(`RELAY', `+k')
MODIFY_MAILER_FLAGS(`LOCAL', `+k')
#
# With status on disk, a neighbour that failed would not be tried for half an hour after it is back.
undefine(`confHOST_STATUS_DIRECTORY')
divert(0)dnl

divert(-1)
#
# mailers.m4: what holds for the mailers of both sides.
#
# Flag k: the two sendmails have the same name, which without k is "mail loops back to me". A line for each mailer: none
# of these names stands for the others.
MODIFY_MAILER_FLAGS(`SMTP', `+k')
MODIFY_MAILER_FLAGS(`ESMTP', `+k')
MODIFY_MAILER_FLAGS(`SMTP8', `+k')
MODIFY_MAILER_FLAGS(`DSMTP', `+k')
MODIFY_MAILER_FLAGS(`RELAY', `+k')
MODIFY_MAILER_FLAGS(`LOCAL', `+k')
#
# A neighbour's failure remembered on disk would be held against it for half an hour after it is back.
undefine(`confHOST_STATUS_DIRECTORY')
divert(0)dnl

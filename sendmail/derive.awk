# derive.awk: turns a site's own sendmail.mc into the incoming or the delivery side, for the Makefile. It adds lines before the
# first mailer and at the end, and changes none.

{ line[NR] = $0 }
/^[ \t]*[^d].*m4\/cf\.m4/ && !/^[ \t]*dnl/ { has_cf = 1 }
/^[ \t]*(MAILER_DEFINITIONS|MAILER\()/ && !first { first = NR }

END {
    if (!first) {
        print "MC: " own " has no line with MAILER(...): expected the sendmail.mc of a mail server" > "/dev/stderr"
        exit 1
    }
    if (!has_cf) print "include(`" cf "/m4/cf.m4')dnl"
    for (number = 1; number <= NR; number++) {
        if (number == first) add(toupper(side))
        print line[number]
    }
    if (side == "incoming") print "ifelse(SITE_HANDOFF, `program', `include(`" here "/miltscan-program.m4')')dnl"
}

function add(name) {
    print "divert(0)dnl"
    print "include(`" here "/miltscan-" side ".m4')dnl"
    print "ifdef(`SITE_" name "', `include(SITE_" name ")')dnl"
}

"""The question that each metric answers, by its name without the prefix.

docs/metrics.md and the panels of the dashboard show it; the help of a metric, which a scrape carries, is a noun phrase.
"""

QUESTIONS = {
    "messages_total": "How many messages arrived, in which direction, and how did they end?",
    "unscanned_total": "How many messages were not scanned completely, and which limit or fault was the reason?",
    "smtp_replies_total": (
        "Which replies did clients receive for their messages? 250 is the MTA's own reply to a message that "
        "miltscan accepted, held or discarded."
    ),
    "detections_total": "How many detections were there, allowed or not, by class (a word in the signature's name)?",
    "signature_detections_total": (
        "Which signatures were detected, and how often? A signature that has a series keeps it until the next start."
    ),
    "scan_duration_seconds": "How long does a server of an engine take for a message of this size?",
    "message_duration_seconds": "How much time does miltscan add at EOM?",
    "slot_wait_seconds": "How long do messages wait for a scan slot?",
    "message_size_bytes": "How large are messages, and how much data do they add up to?",
    "shed_total": "How many messages found every scan slot busy for limits.queue_wait?",
    "sessions": "How many MTA connections are open?",
    "sessions_refused_total": "How many MTA connections were closed because sessions used up the file descriptors?",
    "transactions_in_flight": "How many messages are between MAIL and their reply?",
    "spool_files": "How many messages in flight are on disk because they are too large for memory?",
    "spool_bytes": "How much disk space do messages in flight use?",
    "spool_free_bytes": "How much disk space is free at spool.directory?",
    "engine_errors_total": "How often did an exchange with an engine fail, and why?",
    "engine_up": "Is the server of an engine up (1) for every worker? It is 0 if it is down for at least one worker.",
    "engine_degraded": (
        "Did the server lack room to unpack a message in the last minute (1)? Such a message counts as unscanned, even "
        "if the server reports it as clean."
    ),
    "engine_watched": (
        "Does miltscan see the temporary folder of the server (1)? If not (0), only the self-tests show whether it has "
        "room to unpack a message."
    ),
    "engine_required": "Must mail be scanned by the engine (1), or does mail flow without it (0)?",
    "optional_engine_unscanned_total": (
        "How many messages did an optional engine not scan completely, and why? Mail flows all the same unless the "
        "engine's on_error says otherwise."
    ),
    "spam_score": "How are the scores of an anti-spam engine distributed, and where would another threshold cut?",
    "spam_actions_total": "What would the anti-spam engine have done with the messages? It is a fact, not an order.",
    "spam_symbols_total": (
        "Which rules of an anti-spam engine match, and how often? A rule that has a series keeps it until the "
        "next start."
    ),
    "canary_last_success_timestamp_seconds": (
        "When did the server last pass its self-test, in which it must detect a test signature?"
    ),
    "signature_database_version": "Which signature database does the server use?",
    "signature_database_published_timestamp_seconds": (
        "When was that signature database published? Its age is time() minus this value."
    ),
    "clamd_queue_length": "How many commands wait for a thread of clamd, according to STATS at the last self-test?",
    "clamd_threads": (
        "How many threads of clamd are working, how many are idle, and how many may there be (MaxThreads)?"
    ),
    "queue_entries": "How many messages wait in a sendmail queue?",
    "queue_bytes": "How much disk space do the files of the queue use?",
    "queue_oldest_timestamp_seconds": "Since when has the oldest message been waiting? An empty queue has no series.",
    "sendmail_listening": "Does the sendmail accept connections (1)? It is 0 if it is down or above its load limit.",
    "sendmail_up": "Does the sendmail greet (1)? It is 0 if it is down, above its load limit, or hangs.",
    "queue_readable": "Could the queue be read (1)? If not, its other metrics are missing.",
    "quarantine_put_duration_seconds": "How long does a message wait at EOM until it is stored durably?",
    "quarantine_put_errors_total": (
        "How many messages could not be stored? Their clients received 451 and send them again."
    ),
    "copies_total": (
        "How many copies for recipients with a decision of their own did the delivery sendmail accept, how many did it "
        "refuse (they are in the area refused), and how many messages were tempfailed because a copy failed?"
    ),
    "copy_duration_seconds": "How long does a message wait at EOM until its copies are handed over?",
    "quarantine_entries": "How many messages are in each area?",
    "quarantine_bytes": "How large are the messages of each area together, as received?",
    "quarantine_oldest_timestamp_seconds": "When did the oldest message arrive? An empty area has no series.",
    "quarantine_cleared": (
        "How many messages are no longer detected and wait for their release? An area with release_clean releases "
        "them by itself."
    ),
    "quarantine_unindexed": (
        "How many messages are stored, but not in the index, because it is down or cannot keep up? None is lost."
    ),
    "quarantine_releases_total": (
        "How often did the keeper release a message, and how did each attempt end? Commands are not counted; the log "
        "has their releases."
    ),
    "quarantine_mails_total": (
        "How many notices (late: of late detections) and summaries were sent, and how many were refused, have no "
        "certain result, or were dropped because they were no longer news?"
    ),
    "quarantine_rescans_total": "How many stored messages were scanned again, and with which result?",
    "quarantine_expired_total": "How many messages were deleted because of max_age, max_entries or max_size?",
    "quarantine_disk_bytes": "How large is the file system of the quarantine?",
    "quarantine_free_bytes": "How much disk space is free at quarantine.directory?",
    "archived_messages_total": (
        "Is each accepted message in the archive? The envelopes of those that were dropped or not written are missing."
    ),
    "archive_searches_total": "How many detected digests had been delivered before, so that somebody should look?",
    "archive_bytes": "How much disk space does the archive use?",
    "keeper_configured": "Does the service have a keeper (1)? It has none without a quarantine and an archive (0).",
    "keeper_last_round_timestamp_seconds": (
        "When did the keeper last complete a round? It needs about a second for one. A keeper that waits for the lock "
        "of another service completes rounds, too."
    ),
    "rule_matches_total": "How many messages did each rule match? With enforced=no it only would have decided.",
    "structures_total": "How much mail can be read in several ways, and does a scan of whole messages miss anything?",
    "anomalies_total": "What is odd about the structure of mail?",
    "parts_scanned_total": "How many scans do parts of messages add?",
    "structure_seconds": "What does reading the structure of messages cost?",
    "shadow_decisions_total": "On how many messages would the candidate of `run --shadow` decide otherwise?",
    "rule_sources_stale": (
        "How many files and maps that rules name can a worker not read, so that it uses their last content?"
    ),
    "list_hits_total": "To how many messages did an entry of the allow or deny list apply?",
    "list_entries": "How many entries are in force?",
    "lists_stale": (
        "Does a worker use the last lists (1), because their file has vanished or cannot be read? Changes have no "
        "effect then."
    ),
    "lists_broken_lines": "How many lines of the file of the lists are skipped, because they cannot be read?",
    "probe_success": (
        "Did the last probe pass through the incoming sendmail to an engine, and was the verdict correct (1)?"
    ),
    "probe_duration_seconds": (
        "How long did each stage of the last probe take? A stage that it did not reach has no series."
    ),
    "probe_last_run_timestamp_seconds": "When did the last probe end, successful or not?",
    "exceptions_total": "How many bugs of miltscan showed up, and where?",
    "http_refused_total": "How many connections and requests did the exporter refuse, and why?",
    "peers_refused_total": (
        "How many connections of hosts that are not in milter.allow did the workers close? Where the "
        "kernel's filter works, they are in `miltscan_packets_dropped_total` instead."
    ),
    "packets_dropped_total": (
        "How many packets did the kernel drop at this socket? Those are the tries of hosts that are not in "
        "milter.allow, several for each connection, and connections for which the socket's queue has no room."
    ),
    "socket_bound": (
        "Can MTAs reach the milter socket (1)? It is 0 while its file is missing or belongs to another process; a TCP "
        "socket is always 1."
    ),
    "receipts_total": (
        "What were the results of the receipt checks at the delivery side? Only a message whose result is `valid` is "
        "not scanned there."
    ),
    "log_lines_lost_total": "How many log lines could not be written?",
    "log_stalled": "How many processes could not write their last log line?",
    "metrics_in_memory": "How many processes cannot write their counts to `exporter.directory`?",
    "traces_total": "How many traces were exported, dropped on the way to the tracer, or failed at the collector?",
    "workers": "How many workers are running?",
    "workers_configured": "How many workers should be running?",
    "worker_respawns_total": "How many workers died and were replaced?",
    "reloads_total": "How many reloads of the configuration succeeded or failed?",
    "config_last_reload_success_timestamp_seconds": "Since when has the current configuration been in use?",
    "key_info": "Which keys has the service read? A key of `miltscan keys new` is missing until the next reload.",
    "config_info": "Which configuration is in use? Two services with the same hash use the same one.",
    "build_info": "Which versions are running?",
    "process_upkeep_timestamp_seconds": "Does the process work? A value older than 15 seconds means that it hangs.",
    "process_resident_memory_bytes": "How much memory does each process use?",
    "process_cpu_seconds_total": (
        "How much CPU time does each process use? A new worker continues its predecessor's count."
    ),
    "process_open_fds": "How many file descriptors does each process have open?",
    "scrape_duration_seconds": "How long did the exporter take to answer the last scrape?",
    "threshold_signature_age_seconds": "How old may signatures be before page, commands and alerts warn?",
    "threshold_queue_age_seconds": "How long may the oldest message wait in this queue?",
    "threshold_queue_messages": "How long may this queue be if it has doubled and still grows?",
    "threshold_latency_seconds": "How long may one message in twenty wait for its reply?",
    "threshold_unscanned_ratio": "How much mail may go without a complete scan, encrypted mail left out?",
}

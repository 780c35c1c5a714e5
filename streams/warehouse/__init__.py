"""The warehouse: scores and the label ledger from Kafka into DuckDB, published as immutable snapshots.

One writer per data directory reads all partitions of `scores` and `labels`; readers only ever open snapshots.

1. `feed` reads the two topics from the offsets that DuckDB holds, and says where a topic lost or lacks records.
2. `decode` turns record values into rows, or into a rejection that goes to the quarantine topic.
3. `columns` turns rows into Arrow tables.
4. `writer` applies a batch and its offsets in one transaction; `schema` holds the tables, `lock` keeps others out.
5. `snapshot` publishes a copy by rename, named by the pointer file CURRENT.
6. `analyst` runs an `analysis` of each snapshot beside the writer: `quality` measures what was emitted, `drifting`
   watches what was served; the `findings` go back to the writer, the alarms to the trainer.
7. `role` drives these; `query` reads snapshots for the command line and the console.

The offsets in DuckDB are the truth, so a record has its effect once, however often the process dies:

    <data_dir>/warehouse/live.duckdb                     the writer's own file; nobody else opens it
    <data_dir>/warehouse/writer.lock                     who is writing
    <data_dir>/warehouse/snapshots/ebbtide-<n>.duckdb    immutable; open it read-only with any DuckDB since 1.0
    <data_dir>/warehouse/snapshots/CURRENT               the name of the newest snapshot
"""

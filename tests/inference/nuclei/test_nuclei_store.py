import sqlite3

from mihatp_arch.inference.nuclei.store import NucleiStore


def test_the_store_of_an_interrupted_run_may_have_other_tables(tmp_path):
    """Stores of nuclei once had the tables of the tile stores too."""
    with sqlite3.connect(tmp_path / "store") as connection:
        connection.execute("CREATE TABLE tile(level INT, y INT, x INT, data BLOB, PRIMARY KEY(level, y, x))")
        connection.execute("CREATE TABLE block(y INT, x INT, PRIMARY KEY(y, x))")
        connection.execute("INSERT INTO block VALUES (2, 3)")
    connection.close()
    with NucleiStore(tmp_path / "store", config={}) as store:
        assert store.finished() == {(2, 3)}

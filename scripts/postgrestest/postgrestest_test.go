package postgrestest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestEachCallGivesAnEmptyDatabaseOfItsOwn(t *testing.T) {
	first, second := Start(t), Start(t)
	if first == second {
		t.Fatal("the same database twice")
	}
	one, two := connect(t, first), connect(t, second)
	if _, err := one.Exec(t.Context(), `CREATE TABLE mine (n BIGINT)`); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := two.QueryRow(t.Context(), `SELECT COUNT(*) FROM pg_tables WHERE tablename = 'mine'`).Scan(&n); err != nil || n != 0 {
		t.Fatalf("the second database sees %d tables of the first, %v", n, err)
	}
	var sync string
	if err := one.QueryRow(t.Context(), `SHOW fsync`).Scan(&sync); err != nil || sync != "on" {
		t.Fatalf("fsync is %q, %v", sync, err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return conn
}

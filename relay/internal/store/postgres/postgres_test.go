package postgres_test

import (
	"strings"
	"testing"

	"github.com/courtyard-social/courtyard/relay/internal/store/postgres"
	"github.com/courtyard-social/courtyard/relay/internal/store/storetest"
	"github.com/courtyard-social/courtyard/scripts/postgrestest"
	"github.com/jackc/pgx/v5"
)

func TestContract(t *testing.T) { storetest.Contract(t, storetest.Postgres) }

func TestANewerSchemaIsRefusedWithASentence(t *testing.T) {
	url := postgrestest.Start(t)
	s, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), url); err == nil || !strings.Contains(err.Error(), "newer courtyard-relay") {
		t.Fatal(err)
	}
}

func TestASilentServerIsNamedWithoutThePassword(t *testing.T) {
	_, err := postgres.Open(t.Context(), "postgres://somebody:s3cret-word@127.0.0.1:1/none")
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || strings.Contains(err.Error(), "s3cret-word") {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), "postgres://a:s3cret-word@%zz"); err == nil || strings.Contains(err.Error(), "s3cret-word") {
		t.Fatal(err)
	}
}

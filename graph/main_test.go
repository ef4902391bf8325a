package graph_test

import (
	"testing"

	"akin/repo/repotest"
)

func TestMain(m *testing.M) { repotest.Main(m) }

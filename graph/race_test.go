//go:build race

package graph_test

func init() { mostMemory = 12 << 20 }

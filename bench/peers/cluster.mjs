// Runs a peer's file, the first argument, in as many processes as WORKERS says; one needs no cluster.
import cluster from "node:cluster";
import { workers } from "./common.mjs";

if (workers > 1 && cluster.isPrimary) {
  for (let i = 0; i < workers; i++) cluster.fork();
} else {
  await import(process.argv[2]);
}

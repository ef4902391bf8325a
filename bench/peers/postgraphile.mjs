// PostGraphile on the benchmark's database: the tables as they are, and the functions of functions.sql.
import { createServer } from "node:http";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { poolSize, port } from "./common.mjs";

const server = createServer();
await postgraphile({
  extends: [PostGraphileAmberPreset],
  pgServices: [makePgService({
    connectionString: process.env.DATABASE_URL, schemas: ["public"], pubsub: false, poolConfig: { max: poolSize },
  })],
  grafserv: { graphiql: false, watch: false, websockets: false, parseAndValidateCacheSize: 1000 },
  grafast: { explain: false },
}).createServ(grafserv).addTo(server);
server.listen(port, "127.0.0.1");

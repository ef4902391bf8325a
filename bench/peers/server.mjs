// Akin's own schema and the benchmark's operations on Apollo Server or Mercurius, as somebody who knows them would write
// it: pg with prepared statements that select what is asked for, and data loaders. Upserts run Akin's own statements.
//
// PEER names the server; see common.mjs for the rest of the environment.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import DataLoader from "dataloader";
import { GraphQLScalarType } from "graphql";
import pg from "pg";
import { poolSize, port, store } from "./common.mjs";

const typeDefs = readFileSync(process.env.SCHEMA, "utf8");
const upserts = JSON.parse(readFileSync(process.env.STATEMENTS, "utf8"));
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: poolSize });

const query = async (name, text, values) => (await pool.query({ name, text, values })).rows;
const customerColumns = "id, email, first_name, last_name, created_at, updated_at, account_status";
const identityColumns = "id, customer_id, platform, platform_customer_id, email, first_name, last_name, created_at, updated_at";

const customersByID = async (ids) => {
  const rows = await query("customers by id",
    `SELECT ${customerColumns} FROM customers WHERE store_id = $1 AND id = ANY ($2)`, [store, ids]);
  const byID = new Map(rows.map((row) => [row.id, row]));
  return ids.map((id) => byID.get(id));
};

const identitiesOf = async (ids) => {
  const rows = await query("identities of customers",
    `SELECT ${identityColumns} FROM customer_identities WHERE store_id = $1 AND customer_id = ANY ($2) ORDER BY customer_id, id`,
    [store, ids]);
  const of = new Map(ids.map((id) => [id, []]));
  for (const row of rows) of.get(row.customer_id).push(row);
  return ids.map((id) => of.get(id));
};

const context = () => ({ customers: new DataLoader(customersByID), identities: new DataLoader(identitiesOf) });

const encodeCursor = (row) => Buffer.from(row.id).toString("base64url");
const decodeCursor = (cursor) => Buffer.from(cursor, "base64url").toString();

// connection makes a page of rows, one more than the page where there is more.
const connection = (rows, first, after) => {
  const hasNextPage = rows.length > first;
  const nodes = hasNextPage ? rows.slice(0, first) : rows;
  return {
    nodes,
    get edges() { return nodes.map((node) => ({ cursor: encodeCursor(node), node })); },
    pageInfo: {
      hasNextPage,
      hasPreviousPage: after != null,
      get startCursor() { return nodes.length ? encodeCursor(nodes[0]) : null; },
      get endCursor() { return nodes.length ? encodeCursor(nodes.at(-1)) : null; },
    },
  };
};

// Newest first: the greatest ID is where a list begins.
const start = "ffffffff-ffff-ffff-ffff-ffffffffffff";

// What search_text must be LIKE to have the fragment, which it has in lower case.
const pattern = (fragment) => `%${fragment.normalize("NFC").toLowerCase().replace(/[\\%_]/g, "\\$&")}%`;

const customers = async (_, { filter, first, after }) => {
  const before = after ? decodeCursor(after) : start;
  const rows = filter?.search
    ? (await pool.query(`SELECT ${customerColumns} FROM customers WHERE store_id = $1 AND id < $2 AND id IN (
        SELECT id FROM customers WHERE store_id = $1 AND search_text LIKE $4
        UNION SELECT customer_id FROM customer_identities WHERE store_id = $1 AND search_text LIKE $4) ORDER BY id DESC LIMIT $3`,
    [store, before, first + 1, pattern(filter.search)])).rows // not prepared: the plan is to suit the fragment
    : filter?.accountStatus
    ? await query("customers by status",
      `SELECT ${customerColumns} FROM customers WHERE store_id = $1 AND account_status = ANY ($4) AND id < $2 ORDER BY id DESC LIMIT $3`,
      [store, before, first + 1, filter.accountStatus])
    : await query("customers",
      `SELECT ${customerColumns} FROM customers WHERE store_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, [store, before, first + 1]);
  return connection(rows, first, after);
};

const customer = async (_, { by }) => (await query("customer by email",
  `SELECT ${customerColumns} FROM customers WHERE store_id = $1 AND email_normalized = $2`, [store, normalize(by.email)]))[0] ?? null;

const customerIdentity = async (_, { by: { platformIdentity: key } }) => (await query("identity by key",
  `SELECT ${identityColumns} FROM customer_identities WHERE store_id = $1 AND platform = $2 AND platform_customer_id = $3`,
  [store, key.platform, key.platformCustomerId]))[0] ?? null;

const normalize = (email) => email.trim().toLowerCase();

// newID is a UUIDv7, as Akin's IDs are.
const newID = () => {
  const time = Date.now().toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
};

const payload = (row, proposed) => ({
  outcome: row.outcome,
  customerLink: row.outcome !== "CREATED" ? "KEPT" : row.customer_id === proposed ? "CREATED" : "MATCHED_BY_EMAIL",
  customerIdentity: row,
  userErrors: [],
});

const upsertOne = async (_, { input: i }) => {
  const now = new Date();
  const proposed = newID();
  const rows = await query("upsert one", upserts.one, [store, i.platform, i.platformCustomerId, i.email, normalize(i.email),
    i.firstName, i.lastName, newID(), now, proposed, now]);
  return payload(rows[0], proposed);
};

const upsertMany = async (_, { inputs }) => {
  const now = inputs.map(() => new Date());
  const proposed = inputs.map(newID);
  const of = (field) => inputs.map((i) => i[field]);
  const rows = await query("upsert many", upserts.many, [store, of("platform"), of("platformCustomerId"), of("email"),
    of("email").map(normalize), of("firstName"), of("lastName"), inputs.map(newID), now, proposed, now, inputs.map(() => null)]);
  const byKey = new Map(rows.map((row) => [`${row.platform} ${row.platform_customer_id}`, row]));
  const results = inputs.map((i, n) => payload(byKey.get(`${i.platform} ${i.platformCustomerId}`), proposed[n]));
  const count = (outcome) => results.filter((result) => result.outcome === outcome).length;
  return { results, createdCount: count("CREATED"), updatedCount: count("UPDATED"), unchangedCount: count("UNCHANGED"), failedCount: 0 };
};

const shared = {
  firstName: (row) => row.first_name,
  lastName: (row) => row.last_name,
  createdAt: (row) => row.created_at,
  updatedAt: (row) => row.updated_at,
};

const resolvers = {
  DateTime: new GraphQLScalarType({ name: "DateTime", serialize: (date) => date.toISOString() }),
  Node: { __resolveType: (row) => (row.platform ? "CustomerIdentity" : "Customer") },
  Customer: {
    ...shared,
    accountStatus: (row) => row.account_status,
    identities: async (row, { first = 20 }, { identities }) => connection(await identities.load(row.id), first),
  },
  CustomerIdentity: {
    ...shared,
    platformCustomerId: (row) => row.platform_customer_id,
    customer: (row, _, { customers }) => customers.load(row.customer_id),
  },
  Query: { customers, customer, customerIdentity },
  Mutation: { upsertCustomerIdentity: upsertOne, upsertCustomerIdentities: upsertMany },
};

const servers = {
  async apollo() {
    const { ApolloServer } = await import("@apollo/server");
    const { startStandaloneServer } = await import("@apollo/server/standalone");
    const { ApolloServerPluginCacheControlDisabled } = await import("@apollo/server/plugin/disabled");
    // The plugin that is disabled looks at every field.
    const server = new ApolloServer({ typeDefs, resolvers, introspection: false, plugins: [ApolloServerPluginCacheControlDisabled()] });
    await startStandaloneServer(server, { listen: { port, host: "127.0.0.1" }, context: async () => context() });
  },
  async mercurius() {
    const { default: fastify } = await import("fastify");
    const { default: mercurius } = await import("mercurius");
    const app = fastify();
    app.register(mercurius, { schema: typeDefs, resolvers, context, jit: 1, cache: true, graphiql: false });
    await app.listen({ port, host: "127.0.0.1" });
  },
};
await servers[process.env.PEER]();

// What every peer is told by its environment: PORT, WORKERS, POOL (the connections of all workers together), STORE (the ID
// of the store that is asked for), DATABASE_URL, SCHEMA and STATEMENTS (files).
export const port = Number(process.env.PORT);
export const workers = Number(process.env.WORKERS);
export const poolSize = Math.max(1, Math.floor(Number(process.env.POOL) / workers));
export const store = process.env.STORE;

// Runs the server audits of graphql-http, the reference suite of the GraphQL-over-HTTP specification, against AKIN_URL
// with the token in AKIN_TOKEN. Prints each failing audit and the count; exits with 1 unless all pass.
import { serverAudits } from 'graphql-http';

const { AKIN_URL: url, AKIN_TOKEN: token } = process.env;

const fetchFn = (input, init = {}) => {
  const headers = new Headers(init.headers);
  headers.set('Authorization', `Bearer ${token}`);
  return fetch(input, { ...init, headers });
};

const results = await Promise.all(serverAudits({ url, fetchFn }).map((audit) => audit.fn()));
const failed = results.filter((result) => result.status !== 'ok');
for (const { id, name, reason } of failed) console.log(`${id} ${name}: ${reason}`);
console.log(`${results.length - failed.length}/${results.length}`);
process.exitCode = failed.length > 0 ? 1 : 0;

// The playground: GraphiQL on this server's own /graphql, with the token and the tabs the page carries.
import { createGraphiQLFetcher, createLocalStorage } from '@graphiql/toolkit';
import { setNonce } from 'get-nonce';
import { GraphiQL } from 'graphiql';
import { createRoot } from 'react-dom/client';
import 'graphiql/style.css';
import './main.css';

// GraphiQL's dialogs add a style element to stop the page behind from scrolling; the page's
// Content-Security-Policy admits it by this nonce.
setNonce(document.querySelector('script[nonce]').nonce);

const { token, tabs } = JSON.parse(document.getElementById('config').textContent);
const headers = {
  Authorization: `Bearer ${token || '<paste a token here: akin token create --store NAME>'}`,
};

// GraphiQL asks for the schema before its headers editor is there; what the editor holds overrides these
// headers when the schema is fetched again.
const api = { url: '/graphql', enableIncrementalDelivery: false };
const fetcher = createGraphiQLFetcher({
  ...api,
  schemaFetcher: createGraphiQLFetcher({ ...api, headers }),
});

createRoot(document.getElementById('playground')).render(
  <GraphiQL
    fetcher={fetcher}
    defaultTabs={tabs}
    defaultHeaders={JSON.stringify(headers, null, 2)}
    // Headers are never stored, and nothing another GraphiQL stored at this address is read: a token
    // of yesterday cannot hide today's.
    shouldPersistHeaders={false}
    storage={createLocalStorage({ namespace: 'akin' })}
  >
    <GraphiQL.Logo>Akin</GraphiQL.Logo>
  </GraphiQL>,
);

// Bundles main.jsx into dist/, which playground.go embeds: one script and one stylesheet, each named by
// its contents so that browsers may keep it for good, and each also as gzip.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

for (const file of readdirSync('dist')) {
  if (file.startsWith('main-')) rmSync(`dist/${file}`);
}

const { metafile } = await build({
  entryPoints: ['main.jsx'],
  entryNames: '[name]-[hash]',
  outdir: 'dist',
  bundle: true,
  minify: true,
  format: 'esm',
  jsx: 'automatic',
  legalComments: 'inline',
  define: { 'process.env.NODE_ENV': '"production"' },
  metafile: true,
});

for (const file of Object.keys(metafile.outputs)) {
  writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: 9 }));
}

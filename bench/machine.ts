import { cpus, release } from 'node:os';

/** What figures belong to: without it they say little. */
export function describeMachine(now = new Date()): string {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? process.arch;
  const { node, openssl } = process.versions;
  const date = now.toISOString().slice(0, 10);
  return `${processors.length} x ${model}, Linux ${release()}, Node.js ${node} with OpenSSL ${openssl}, ${date}`;
}

import { cpus, release } from 'node:os';
import { loadIpsecMb } from '#culvert/dataplane/ffi/crypto/ipsec-mb.js';
import { processorFlags } from '#culvert/dataplane/ffi/crypto/processor.js';
import { ffiAvailable } from '#culvert/linux/ffi.js';

/** What figures belong to: without it they say little. */
export function describeMachine(now = new Date()): string {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? process.arch;
  const { node, openssl } = process.versions;
  const date = now.toISOString().slice(0, 10);
  const ipsecMb = ffiAvailable().ok ? loadIpsecMb(processorFlags()) : undefined;
  const library = ipsecMb?.ok ? ` and ${ipsecMb.value.name}` : '';
  return `${processors.length} x ${model}, Linux ${release()}, Node.js ${node} with OpenSSL ${openssl}${library}, ${date}`;
}

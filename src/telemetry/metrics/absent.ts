import { networkPairs } from '../../ike/policy/carried-pairs.js';
import { networksOf } from '../../store/engine-config.js';
import type { GatewayConnection, GatewayFile } from '../../store/model.js';
import { describeSelector } from '../../wire/ike/describe.js';
import { connectionInfo, MAX_PAIRS } from './connection-samples.js';
import { type ConnectionSnapshot, type GatewaySnapshot, SampleWriter } from './samples.js';

/**
 * The metrics of a gateway whose process does not answer: all its series are there, at 0, and say that it is down. Of a
 * process that is started again counters begin at 0, too.
 */
export function absentSnapshot(file: GatewayFile): GatewaySnapshot {
  const { name, mode, address } = file.gateway;
  const out = new SampleWriter();
  out.put('culvert_gateway_info', 1, '', address, mode, '', 'none', '');
  out.add('culvert_gateway_connections', file.connections.length, 'down');
  const connections = file.connections.map((one) => absentConnection(one, file));
  return { name, samples: out.samples, workers: [], connections };
}

function absentConnection(one: GatewayConnection, { gateway, ikePolicies }: GatewayFile): ConnectionSnapshot {
  const out = new SampleWriter();
  const { id, name, peer, establishMode, adminStateUp } = one;
  const policy = ikePolicies.find((known) => known.name === one.ikePolicy);
  connectionInfo(out, {
    ...{ id, mode: gateway.mode, establishMode, peer: peer.address ?? peer.fqdn ?? '' },
    version: policy?.ikeVersion ?? 'auto',
  });
  out.add('culvert_connection_admin_up', adminStateUp ? 1 : 0);
  out.add('culvert_connection_state', 1, 'down');
  if (adminStateUp) out.put('culvert_connection_cause_info', 1, 'internal_error', 'gateway_down');
  else out.put('culvert_connection_cause_info', 1, 'none', 'admin_down');
  out.put('culvert_connection_crypto_info', 1, ...Array.from({ length: 6 }, () => 'none'));
  const pairs = networkPairs(networksOf(one));
  out.add('culvert_connection_pairs', pairs.length, 'down');
  for (const { local, peer: theirs } of pairs.slice(0, MAX_PAIRS))
    out.put('culvert_connection_pair_covered', 0, describeSelector(local), describeSelector(theirs));
  const last_minute = { bytes_in: 0, bytes_out: 0, packets_in: 0, packets_out: 0 };
  return { id, name, samples: out.samples, last_minute };
}

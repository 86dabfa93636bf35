import { peerAddressBesideTunnel } from '../../connection/own-address.js';
import { connectionName } from '../../ike/config.js';
import { toEngineConfig } from '../../store/engine-config.js';
import type { GatewayFile } from '../../store/model.js';
import type { ConnectionId } from '../../util/ids.js';
import type { SecretKey } from '../../util/secret.js';
import { type ConnectionWarning, weakPskWarnings } from '../host/preflight.js';
import { connectionsOf } from './checks/subject.js';
import type { Facts, RunningFacts } from './facts.js';
import { gatherHost } from './gather-host.js';
import { gatherPath, NO_PATH } from './gather-path.js';
import { judge } from './judge.js';
import type { DoctorReport } from './report.js';

/** What is to be looked at. */
export interface DoctorWish {
  /** Left out: only the host is looked at. */
  readonly file?: GatewayFile;
  /** Of a gateway that runs, in whose process this is called. */
  readonly running?: RunningFacts;
  /** The keys of `file`, where no gateway runs: its peers are asked by IKE. */
  readonly psks?: ReadonlyMap<ConnectionId, SecretKey>;
  /** Nothing is sent to anybody. */
  readonly passive?: boolean;
  /** An address behind a peer that answers a ping through the tunnel. */
  readonly probe?: string;
}

/** Looks at the host, at the way to the peers and at the connections, and says what is in the way of the tunnels. */
export async function diagnose(wish: DoctorWish): Promise<DoctorReport> {
  const { file, running, psks, passive = false, probe } = wish;
  const host = await gatherHost(file?.source);
  const seen: Facts = { host, file, running, path: NO_PATH };
  const path =
    file === undefined
      ? NO_PATH
      : await gatherPath({ connections: connectionsOf(seen), file, host, running, psks, passive, probe });
  return judge(
    { ...seen, path },
    file === undefined || psks === undefined ? [] : configuredAdvice(file, psks),
  );
}

/** What a gateway that runs would show as advisories. */
function configuredAdvice(
  file: GatewayFile,
  psks: ReadonlyMap<ConnectionId, SecretKey>,
): ConnectionWarning[] {
  const beside = toEngineConfig(file, psks, new Map()).connections.flatMap((config) => {
    const message = peerAddressBesideTunnel(config);
    return message === undefined ? [] : [{ connection: connectionName(config), message }];
  });
  return [...beside, ...weakPskWarnings(file, psks)];
}

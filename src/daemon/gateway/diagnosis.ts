import type { Explanation } from '../../connection/explain.js';
import type { StatusDocument } from '../../connection/status.js';
import type { GatewayFile } from '../../store/model.js';
import type { ConnectionId } from '../../util/ids.js';
import type { DoctorReport } from '../doctor/report.js';

/** What a client wants to be looked at. */
export interface DiagnosisWish {
  /** This connection alone. */
  readonly only: ConnectionId | undefined;
  /** Nothing is sent to anybody. */
  readonly passive: boolean;
  /** An address behind a peer that answers a ping through the tunnel. */
  readonly probe: string | undefined;
}

/** A gateway that runs, as the doctor sees it. */
export interface Examined {
  /** The configuration in force. */
  readonly file: GatewayFile;
  readonly gateway: StatusDocument['gateway'];
  explain(connection: ConnectionId): Explanation | undefined;
}

/**
 * Has the doctor look at a gateway from inside its process, and so from inside its network namespace. What that takes
 * is loaded when it is asked for: no gateway needs it to start.
 */
export async function diagnoseRunning(examined: Examined, wish: DiagnosisWish): Promise<DoctorReport> {
  const [{ diagnose }, { MAX_CONNECTIONS }] = await Promise.all([
    import('../doctor/doctor.js'),
    import('../doctor/checks/subject.js'),
  ]);
  const { only, passive, probe } = wish;
  const all = examined.file.connections;
  const connections = only === undefined ? all : all.filter(({ id }) => id === only);
  const explanations = new Map<ConnectionId, Explanation>();
  for (const { id } of connections.slice(0, MAX_CONNECTIONS)) {
    const explanation = examined.explain(id);
    if (explanation !== undefined) explanations.set(id, explanation);
  }
  return await diagnose({
    file: { ...examined.file, connections },
    running: { gateway: examined.gateway, explanations },
    passive,
    ...(probe === undefined ? {} : { probe }),
  });
}

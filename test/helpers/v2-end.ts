import { Context } from '../../src/ike/context.js';
import type { DatagramInput } from '../../src/ike/inputs.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import type { Output, SendOutput } from '../../src/ike/outputs.js';
import type { IkeSa } from '../../src/ike/v2/ike-sa.js';
import { IkeV2 } from '../../src/ike/v2/protocol.js';
import { type ConnectionPatch, connection } from './engine-pair.js';
import { SeededRandom } from './seeded-random.js';
import { createToyBackend } from './toy-crypto.js';

const crypto = createToyBackend();

/** One end of version 2 alone, with its IKE SAs in reach. */
export class End {
  readonly ctx: Context;
  readonly v2: IkeV2;
  readonly log: Output[] = [];

  constructor(side: 'east' | 'west', psk?: string, other: ConnectionPatch = {}) {
    const patch = psk === undefined ? other : { ...other, psk };
    const config = { connections: [connection(side, patch)] };
    const random = new SeededRandom(side === 'east' ? 1 : 2);
    this.ctx = new Context({ crypto, random, limits: DEFAULT_LIMITS, config });
    this.v2 = new IkeV2(this.ctx);
  }

  /** The datagrams it sends, as the other end receives them. */
  drain(): DatagramInput[] {
    const outputs = this.ctx.drain();
    this.log.push(...outputs);
    return outputs.filter((one): one is SendOutput => one.kind === 'send').map(delivered);
  }

  initiate(): DatagramInput[] {
    this.v2.initiate(this.ctx.connection('site')!);
    return this.drain();
  }

  receive(datagrams: readonly DatagramInput[]): DatagramInput[] {
    for (const datagram of datagrams) this.v2.receive(datagram);
    return this.drain();
  }

  sa(index = 0): IkeSa {
    return this.v2.world.table.all()[index]!;
  }
}

function delivered({ local, remote, natTraversalPort, bytes }: SendOutput): DatagramInput {
  return { kind: 'datagram', local: remote, remote: local, natTraversalPort, bytes };
}

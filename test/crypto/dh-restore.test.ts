import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backends/openssl/backend.js';
import { createPortableBackend } from '../../src/crypto/backends/portable/backend.js';
import { Dh, nameOf } from '../../src/wire/ike/registry.js';
import { SeededRandom } from '../helpers/seeded-random.js';

const random = new SeededRandom(1);
const openssl = createOpensslBackend();
const portable = createPortableBackend();
// One group of each kind of arithmetic; any backend goes on with the exchange of any other.
const GROUPS = [Dh.MODP_2048, Dh.ECP_256, Dh.CURVE25519];

for (const id of GROUPS) {
  for (const from of [openssl, portable]) {
    for (const to of [openssl, portable]) {
      const skip =
        ![from, to].every((one) => one.supports({ kind: 'dh', id })) && 'a backend lacks the group';
      t.test(
        `group ${nameOf('dh', id)} begun by ${from.name} is finished by ${to.name}`,
        { skip },
        async (t) => {
          const begun = from.dh(id).generate(random);
          const peer = from.dh(id).generate(random);
          const privateValue = begun.exportPrivate();
          const restored = to.dh(id).restore(privateValue);
          privateValue.wipe();
          t.same(restored.publicValue, begun.publicValue);
          const [here, there] = [begun.agree(peer.publicValue), restored.agree(peer.publicValue)];
          t.ok(here.ok && there.ok);
          if (here.ok && there.ok) t.same(there.value.expose(), here.value.expose());
          begun.wipe();
          t.throws(() => begun.exportPrivate(), /over/, 'nothing is left to export');
        },
      );
    }
  }
}

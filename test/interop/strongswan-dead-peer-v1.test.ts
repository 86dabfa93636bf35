import t from 'tap';
import { deadPeerTests, deletedChildTest } from '../helpers/dead-peer-cases.js';

t.jobs = 2;

deadPeerTests(1);
deletedChildTest(1);

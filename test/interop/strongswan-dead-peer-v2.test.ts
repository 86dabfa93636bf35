import t from 'tap';
import { deadPeerTests, deletedChildTest } from '../helpers/dead-peer-cases.js';

t.jobs = 2;

deadPeerTests(2);
deletedChildTest(2);

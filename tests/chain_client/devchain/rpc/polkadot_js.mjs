// What an application on @polkadot/api does, against the chain at argv[2]. Prints one JSON object, or fails.
import { createRequire } from "node:module";
import { strict as assert } from "node:assert";

const [url, packages] = process.argv.slice(2);
const require = createRequire(packages);
const { ApiPromise, HttpProvider, Keyring, WsProvider } = require("@polkadot/api");
const UNIT = 10n ** 12n;

const api = await ApiPromise.create({ provider: new WsProvider(url), noInitWarn: true });
const keyring = new Keyring({ type: "sr25519" });
const [alice, bob] = ["//Alice", "//Bob"].map((uri) => keyring.addFromUri(uri));
const free = async () => (await api.query.system.account(bob.address)).data.free.toBigInt();

// Metadata and facts of the chain.
assert.equal(api.runtimeVersion.specName.toString(), "peerz");
assert.equal((await api.rpc.system.chain()).toString(), "Peerz Development");
assert.equal((await api.rpc.system.health()).peers.toNumber(), 0);
assert.ok(api.tx.peerz, "the pallet's calls are decorated");
assert.ok(api.consts.balances.existentialDeposit.toBigInt() > 0n);

// Subscriptions that stay open while transactions flow.
const heads = [];
const stopHeads = await api.rpc.chain.subscribeFinalizedHeads((head) => heads.push(head.number.toNumber()));
const balances = [];
const stopBalance = await api.query.system.account(bob.address, ({ data }) => balances.push(data.free.toBigInt()));
const before = await free();

// Sign, submit, watch, decode events.
const transfer = api.tx.balances.transferKeepAlive(bob.address, UNIT);
const info = await transfer.paymentInfo(alice);
const send = (tx, signer) =>
  new Promise((resolve, reject) => {
    const seen = [];
    tx.signAndSend(signer, { nonce: -1 }, ({ status, events, dispatchError }) => {
      seen.push(status.type);
      if (status.isFinalized) {
        const names = events.map(({ event }) => `${event.section}.${event.method}`);
        resolve({ seen, names, dispatchError, block: status.asFinalized.toHex() });
      }
    }).catch(reject);
  });
const sent = await send(transfer, alice);
// It looks the events up before it tells of a status, and forgets InBlock when Finalized comes meanwhile.
assert.deepEqual(sent.seen.filter((status) => status !== "InBlock"), ["Ready", "Finalized"]);
assert.ok(sent.names.includes("balances.Transfer"));
assert.ok(sent.names.includes("system.ExtrinsicSuccess"));
assert.equal((await free()) - before, UNIT);

// Several at once, with the nonces of the pool.
const many = await Promise.all([1, 2, 3].map((index) => {
  const tx = api.tx.balances.transferKeepAlive(bob.address, UNIT);
  return tx.signAndSend(alice, { nonce: index }).then((hash) => hash.toHex());
}));
assert.equal(new Set(many).size, 3);
while ((await api.rpc.system.accountNextIndex(alice.address)).toNumber() < 4 || (await free()) - before < 4n * UNIT) {
  await new Promise((resolve) => setTimeout(resolve, 20));
}

// A failing call, decoded through the metadata; a transaction that the pool refuses.
const failed = await send(api.tx.sudo.sudo(transfer), bob);
const error = api.registry.findMetaError(failed.dispatchError.asModule);
assert.equal(error.name, "RequireSudo");
await assert.rejects(transfer.signAndSend(alice, { nonce: 0 }), /1010: Invalid Transaction/);

// Blocks, history, maps.
const { block } = await api.rpc.chain.getBlock(sent.block);
assert.ok(block.extrinsics.some((extrinsic) => extrinsic.method.method === "transferKeepAlive"));
const events = await (await api.at(sent.block)).query.system.events();
assert.ok(events.some(({ event }) => api.events.balances.Transfer.is(event)));
const genesis = await api.at(api.genesisHash);
assert.equal((await genesis.query.system.account(bob.address)).data.free.toBigInt(), before);
const accounts = await api.query.system.account.entries();
const multi = await api.query.system.account.multi([alice.address, bob.address]);
assert.equal(multi.length, 2);
assert.equal(multi[1].data.free.toBigInt(), await free());

// Blocks by hand, over HTTP.
const overHttp = await ApiPromise.create({ provider: new HttpProvider(url.replace("ws:", "http:")), noInitWarn: true });
const created = await overHttp.rpc.engine.createBlock(true, true);
assert.equal(created.blockHash ? true : created.hash !== undefined, true);

stopHeads();
stopBalance();
assert.ok(heads.length >= 2);
assert.ok(balances.at(-1) > balances[0]);
console.log(JSON.stringify({ accounts: accounts.length, fee: info.partialFee.toString(), seen: sent.seen }));
await api.disconnect();
process.exit(0);

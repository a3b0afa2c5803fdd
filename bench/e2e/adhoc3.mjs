import { open } from "./lib/browser.mjs"; import { chromium } from "playwright-core"; const launch=()=>chromium.launch({executablePath:"/usr/bin/chromium",headless:true,args:["--no-sandbox","--disable-gpu","--use-fake-device-for-media-stream=fps=15","--use-fake-ui-for-media-stream","--autoplay-policy=no-user-gesture-required","--disable-features=WebRtcHideLocalIpsWithMdns","--enable-logging","--log-file=/tmp/codecs-adhoc/chrome.log","--v=0","--vmodule=*/webrtc/*=1,*third_party/webrtc*=1"]});
import { Cluster, nodes } from "./lib/cluster.mjs";
import { site } from "./lib/site.mjs";
import { mkdir } from "node:fs/promises";
const out="/tmp/codecs-adhoc"; await mkdir(out,{recursive:true});
const cluster=new Cluster("bin/maille", out+"/maille.log");
await cluster.start(40);
const st=await site(); const br=await launch();
const join=async(name,node,opt={})=>{ const v=await open(br,name,st.url,out); const tok=await cluster.token("x",name);
 await v.page.evaluate(async([url,token,opt])=>{ const LK=window.LivekitClient; LK.setLogLevel("debug"); window.room=new LK.Room({dynacast:true,adaptiveStream:false,...opt}); await room.connect(url,token);
  window.rx=async()=>{const o=[]; for(const p of room.remoteParticipants.values()) for(const t of p.trackPublications.values()){ const s=await t.track?.getRTCStatsReport(); const c={}; s?.forEach(x=>{if(x.type==='codec')c[x.id]=x.mimeType}); s?.forEach(x=>{ if(x.type==='inbound-rtp') o.push({k:t.kind,codec:c[x.codecId],p:x.packetsReceived,b:x.bytesReceived,fec:x.fecPacketsReceived,w:x.frameWidth,h:x.frameHeight,f:x.framesDecoded,fps:x.framesPerSecond,rcv:x.framesReceived,key:x.keyFramesDecoded,drop:x.framesDropped,dec:x.decoderImplementation,pli:x.pliCount,nack:x.nackCount,lost:x.packetsLost,conc:x.concealedSamples})})} return o};
  window.tx=async()=>{const o=[]; for(const t of room.localParticipant.trackPublications.values()){ const s=await t.track?.getRTCStatsReport(); const c={}; s?.forEach(x=>{if(x.type==='codec')c[x.id]=x.mimeType}); s?.forEach(x=>{if(x.type==='outbound-rtp')o.push({k:x.kind,rid:x.rid,codec:c[x.codecId],p:x.packetsSent,w:x.frameWidth,act:x.active,m:x.scalabilityMode,q:x.qualityLimitationReason})})} return o};
 },[nodes[node].ws,tok,opt]); return v.page; };
const pat=await join("pat","paris"), lea=await join("lea",process.argv[3]??"lyon",{singlePeerConnection:process.argv[4]==="1"});
const sleep=(ms)=>new Promise(r=>setTimeout(r,ms));
await pat.evaluate(()=>room.localParticipant.setMicrophoneEnabled(true).then(()=>{}));
await sleep(3000); console.log("mic", JSON.stringify(await lea.evaluate(()=>rx())));
await pat.evaluate(()=>room.localParticipant.setMicrophoneEnabled(false).then(()=>{}));
for (const codec of (process.argv[2]??"vp9,av1,h264,h265").split(",")) {
  const t0=Date.now();
  try { await pat.evaluate(async(codec)=>{ const t=await LivekitClient.createLocalVideoTrack({resolution:{width:1280,height:720,frameRate:15}}); window.cam=t; await room.localParticipant.publishTrack(t,{videoCodec:codec.split(":")[0],scalabilityMode:codec.split(":")[1],source:"camera"}); },codec);
  } catch(e){ console.log(codec,"publish failed",String(e).slice(0,300)); continue; }
  for (const q of ["HIGH","LOW","MEDIUM","HIGH"]) {
    await lea.evaluate((q)=>{ for(const p of room.remoteParticipants.values()) p.getTrackPublication("camera")?.setVideoQuality(LivekitClient.VideoQuality[q]); },q);
    let row; const t1=Date.now(); let last;
    for (let i=0;i<10;i++){ await sleep(1000); row=(await lea.evaluate(()=>rx())).filter(r=>r.k==="video").slice(-1)[0]; if(last!==undefined&&row?.w===last&&i>3)break; last=row?.w; }
    console.log(codec,q,`${Date.now()-t1}ms`,JSON.stringify(row));
  }
  console.log(codec,"sent",JSON.stringify((await pat.evaluate(()=>tx())).filter(r=>r.k==="video")));
  await pat.evaluate(()=>room.localParticipant.unpublishTrack(cam).then(()=>{cam.stop()})); await sleep(500);
}
await br.close(); st.close(); await cluster.stop(); process.exit(0);

import { launch, open } from "./lib/browser.mjs";
import { site } from "./lib/site.mjs";
import { mkdir } from "node:fs/promises";
const out="/tmp/codecs-adhoc"; await mkdir(out,{recursive:true});
const st=await site(); const br=await launch(); const v=await open(br,"p2p",st.url,out);
for (const dd of [false,true]) for (const mode of ["L1T3","L2T3_KEY","L3T3_KEY"]) {
const r=await v.page.evaluate(async([dd,mode])=>{
  const s=await navigator.mediaDevices.getUserMedia({video:{width:1280,height:720,frameRate:15}});
  const a=new RTCPeerConnection(),b=new RTCPeerConnection(); a.onicecandidate=e=>b.addIceCandidate(e.candidate); b.onicecandidate=e=>a.addIceCandidate(e.candidate);
  const tr=a.addTransceiver(s.getTracks()[0],{direction:"sendonly",sendEncodings:[{scalabilityMode:mode,maxBitrate:1500000}]});
  tr.setCodecPreferences(RTCRtpSender.getCapabilities("video").codecs.filter(c=>/av1/i.test(c.mimeType)));
  const vid=document.createElement("video"); b.ontrack=e=>{vid.srcObject=new MediaStream([e.track]); vid.muted=true; vid.play()};
  let o=await a.createOffer(); let sdp=o.sdp;
  const uri="https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";
  if(dd && !sdp.includes(uri)) sdp=sdp.replace(/(a=mid:[^\r]*\r\n)/,"$1a=extmap:12 "+uri+"\r\n");
  await a.setLocalDescription({type:"offer",sdp}); await b.setRemoteDescription({type:"offer",sdp});
  const an=await b.createAnswer(); await b.setLocalDescription(an); await a.setRemoteDescription(an);
  await new Promise(r=>setTimeout(r,8000));
  const o2={}; (await b.getStats()).forEach(x=>{if(x.type==='inbound-rtp')Object.assign(o2,{f:x.framesDecoded,rcv:x.framesReceived,w:x.frameWidth,pli:x.pliCount,dec:x.decoderImplementation,p:x.packetsReceived})});
  (await a.getStats()).forEach(x=>{if(x.type==='outbound-rtp')Object.assign(o2,{mode:x.scalabilityMode,ow:x.frameWidth})});
  const hasdd=an.sdp.includes(uri); a.close();b.close();s.getTracks()[0].stop(); return {...o2,hasdd};
},[dd,mode]); console.log(dd,mode,JSON.stringify(r)); }
await br.close(); st.close(); process.exit(0);

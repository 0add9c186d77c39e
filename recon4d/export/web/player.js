(()=>{var G=class{constructor(t){this.times=t,this.now=t.first,this.playing=!1,this.loop=!0,this.speed=1}get moves(){return this.times.last>this.times.first}set(t){this.now=Math.min(Math.max(t,this.times.first),this.times.last)}play(t=!this.playing){this.playing=t&&this.moves,this.playing&&this.now>=this.times.last&&(this.now=this.times.first)}step(t){this.playing=!1;let{first:s,frame:e}=this.times;this.set(s+(Math.round((this.now-s)/e)+t)*e)}tick(t){if(!this.playing)return;let{first:s,last:e,frame:o}=this.times,r=this.now+t*this.speed,n=this.loop?e+o:e;r>=n&&(this.loop||(this.playing=!1),r=this.loop?s+(r-s)%(n-s):e),this.now=r}get shown(){return Math.min(this.now,this.times.last)}};var q=[.1,.25,.5,1,2,4];function v(i,t={},...s){let e=document.createElement(i);for(let[o,r]of Object.entries(t))o.startsWith("on")?e.addEventListener(o.slice(2),r):r!==!1&&e.setAttribute(o,r===!0?"":r);return e.append(...s),e}var tt={play:"M6 4l13 8-13 8z",pause:"M6 4h4v16H6zM14 4h4v16h-4z",back:"M5 5h3v14H5zM19 5v14l-10-7z",on:"M16 5h3v14h-3zM5 5v14l10-7z",loop:"M17 3l4 4-4 4V8H8a3 3 0 0 0-3 3v1H3v-1a5 5 0 0 1 5-5h9zM7 21l-4-4 4-4v3h9a3 3 0 0 0 3-3v-1h2v1a5 5 0 0 1-5 5H7z",home:"M12 3l9 8h-3v9h-5v-6h-2v6H6v-9H3z",save:"M11 3h2v9l3-3 1.4 1.4L12 15.8 6.6 10.4 8 9l3 3zM4 18h16v2H4z",full:"M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z"};function zt(i){let t="http://www.w3.org/2000/svg",s=document.createElementNS(t,"svg");for(let[o,r]of[["viewBox","0 0 24 24"],["aria-hidden","true"]])s.setAttribute(o,r);let e=document.createElementNS(t,"path");return e.setAttribute("d",tt[i]),s.append(e),s}function F(i,t,s,e={}){return v("button",{type:"button","aria-label":t,title:t,onclick:s,...e},zt(i))}var At=[["Space","play or pause"],["Left, Right","one frame back or on"],["Home, End","first or last frame"],["[ and ]","slower or faster"],["L","loop"],["Shift + arrows","turn the camera"],["+ and -","nearer or farther"],["R","start view"],["B","next background"],["S","save a picture"],["F","full screen"],["H","hide or show the controls"]],W=class{constructor(t,s){this.player=s,this.root=t;let e=s.clock.moves,{first:o,last:r,frame:n}=s.clock.times;this.playButton=F("play","Play",()=>s.togglePlay()),this.slider=v("input",{type:"range",min:o,max:r,step:Math.min(n/8,(r-o)/1e3||1),value:o,"aria-label":"Time in seconds",oninput:()=>s.scrub(Number(this.slider.value))}),this.label=v("output",{"aria-live":"off",class:"time"}),this.speed=v("select",{"aria-label":"Speed",title:"Speed",onchange:()=>s.setSpeed(Number(this.speed.value))},...q.map(u=>v("option",{value:u,selected:u===1},`${u}x`))),this.loop=F("loop","Loop",()=>s.toggleLoop(),{"aria-pressed":"true"});let a=v("div",{class:"bar",role:"group","aria-label":"Time"},F("back","One frame back",()=>s.step(-1)),this.playButton,F("on","One frame on",()=>s.step(1)),this.slider,this.label,this.speed,this.loop);this.background=v("input",{type:"color","aria-label":"Background colour",title:"Background colour",oninput:()=>s.setBackground(this.background.value)}),this.shown=s.layers.map((u,m)=>v("input",{type:"checkbox",checked:!0,onchange:x=>s.showLayer(m,x.target.checked)}));let c=v("fieldset",{},v("legend",{},"Layers"),...s.layers.map((u,m)=>v("label",{},this.shown[m],v("span",{},u.name)))),l=v("details",{},v("summary",{},"Keys"),v("dl",{},...At.flatMap(([u,m])=>[v("dt",{},u),v("dd",{},m)])));this.follow=v("input",{type:"checkbox",checked:s.following,onchange:()=>s.follow(this.follow.checked)});let f=v("div",{class:"row"},F("home","Start view",()=>s.resetView()),F("save","Save a picture",()=>s.savePicture()),F("full","Full screen",()=>s.fullScreen()),this.background),h=s.travels?[v("label",{},this.follow,v("span",{},"Follow the subject"))]:[],d=v("details",{class:"panel",open:innerWidth>640},v("summary",{},s.title),f,c,...h,l);t.append(d,...e?[a]:[]),document.addEventListener("keydown",u=>this.key(u))}update(){let{clock:t,background:s}=this.player;this.playButton.firstChild.firstChild.setAttribute("d",t.playing?tt.pause:tt.play),this.playButton.setAttribute("aria-label",t.playing?"Pause":"Play"),this.playButton.title=t.playing?"Pause":"Play",this.slider.value=t.shown,this.slider.setAttribute("aria-valuetext",`${t.shown.toFixed(2)} seconds`),this.label.textContent=`${t.shown.toFixed(2)} / ${t.times.last.toFixed(2)} s`,this.loop.setAttribute("aria-pressed",String(t.loop)),this.speed.value=t.speed,this.shown.forEach((e,o)=>e.checked=this.player.layers[o].visible),this.follow.checked=this.player.following,this.background.value!==s&&(this.background.value=s)}key(t){if(t.ctrlKey||t.metaKey||t.altKey)return;let s=t.target.closest?.("select, input:not([type=checkbox])"),e=t.target.closest?.("button, summary, input[type=checkbox]");if(s||e&&(t.key===" "||t.key==="Enter"))return;let o=this.player,r=.1,n={ArrowLeft:()=>o.orbit.rotate(r,0),ArrowRight:()=>o.orbit.rotate(-r,0),ArrowUp:()=>o.orbit.rotate(0,r),ArrowDown:()=>o.orbit.rotate(0,-r)},a={" ":()=>o.togglePlay(),ArrowLeft:()=>o.step(-1),ArrowRight:()=>o.step(1),Home:()=>o.scrub(o.clock.times.first),End:()=>o.scrub(o.clock.times.last),"[":()=>this.changeSpeed(-1),"]":()=>this.changeSpeed(1),l:()=>o.toggleLoop(),"+":()=>o.orbit.zoom(.9),"=":()=>o.orbit.zoom(.9),"-":()=>o.orbit.zoom(1/.9),r:()=>o.resetView(),b:()=>o.nextBackground(),s:()=>o.savePicture(),f:()=>o.fullScreen(),h:()=>this.root.classList.toggle("hidden")},c=t.shiftKey&&n[t.key]||a[t.key.length===1?t.key.toLowerCase():t.key];c&&(t.preventDefault(),c())}changeSpeed(t){let s=q.indexOf(this.player.clock.speed);this.player.setSpeed(q[Math.min(Math.max(s+t,0),q.length-1)])}};var _=(i,t)=>[i[0]+t[0],i[1]+t[1],i[2]+t[2]],V=(i,t)=>[i[0]-t[0],i[1]-t[1],i[2]-t[2]],z=(i,t)=>[i[0]*t,i[1]*t,i[2]*t],N=(i,t)=>i[0]*t[0]+i[1]*t[1]+i[2]*t[2],P=(i,t)=>[i[1]*t[2]-i[2]*t[1],i[2]*t[0]-i[0]*t[2],i[0]*t[1]-i[1]*t[0]],$=i=>Math.hypot(i[0],i[1],i[2]),D=(i,t,s)=>Math.min(Math.max(i,t),s);function O(i){let t=$(i);return t>0?z(i,1/t):[0,0,1]}function et(i){let t=Math.abs(i[0])<.6?[1,0,0]:[0,1,0];return O(P(i,t))}function ut(i,t,s){let e=O(V(t,i)),o=P(e,s);o=$(o)>1e-9?O(o):et(e);let r=P(e,o);return[o,r,e].map(n=>[...n,-N(n,i)])}function ft(i){let t=i.map(s=>s[3]);return[0,1,2].map(s=>-(i[0][s]*t[0]+i[1][s]*t[1]+i[2][s]*t[2]))}function dt(i,t,s,e,o,r,n,a,c){i[t]=1-2*(e*e+o*o),i[t+1]=2*(s*e-r*o),i[t+2]=2*(s*o+r*e),i[t+3]=n,i[t+4]=2*(s*e+r*o),i[t+5]=1-2*(s*s+o*o),i[t+6]=2*(e*o-r*s),i[t+7]=a,i[t+8]=2*(s*o-r*e),i[t+9]=2*(e*o+r*s),i[t+10]=1-2*(s*s+e*e),i[t+11]=c}var St=16;function mt(i,t,s,e){let o=st(i,t);for(let r=0;r<i.bones;r++){let n=[0,0,0],a=[0,0,0,0];for(let[m,x]of o){let g=3*(m*i.bones+r),E=4*(m*i.bones+r);for(let w=0;w<3;w++)n[w]+=x*i.places[g+w];for(let w=0;w<4;w++)a[w]+=x*i.rotations[E+w]}let c=1/Math.hypot(...a),[l,f,h,d]=a.map(m=>m*c),u=St*(e+r);dt(s,u,l,f,h,d,0,0,0);for(let m=0;m<3;m++){let x=u+4*m,g=3*r;s[x+3]=n[m]-s[x]*i.pivots[g]-s[x+1]*i.pivots[g+1]-s[x+2]*i.pivots[g+2]}s.set([l,f,h,d],u+12)}}function st(i,t){let s=i.samples;if(s===1||i.step===0)return[[0,1]];let e=Math.min(Math.max((t-i.first)/i.step,0),s-1),o=Math.min(Math.floor(e),s-2),r=e-o,n=[.5*r*(-1+r*(2-r)),1+.5*r*r*(3*r-5),.5*r*(1+r*(4-3*r)),.5*r*r*(r-1)],a=new Map,c=(l,f)=>a.set(l,(a.get(l)??0)+f);return n.forEach((l,f)=>{let h=o-1+f;if(h>=0&&h<s)return c(h,l);let[d,u]=h<0?[0,1]:[s-1,-1];(s===2?[2,-1]:[3,-3,1]).forEach((x,g)=>c(d+u*g,l*x))}),[...a]}function pt(i,t,s,e){let o=i.residual,[r,n,a,c]=o.size,l=n*a*c,f=Math.min(Math.max((t-o.start)/o.step,0),r-3),h=Math.min(Math.floor(f),r-4),d=f-h,u=[(1-d)**3,3*d**3-6*d*d+4,-3*d**3+3*d*d+3*d+1,d**3].map(b=>b/6),m=new Float32Array(3*l);u.forEach((b,S)=>{let R=3*l*(h+S);for(let p=0;p<m.length;p++)m[p]+=b*i.grid[R+p]});let x=[n,a,c],g=[3*a*c,3*c,3],E=[0,0,0],w=[0,0,0];for(let b=0;b<i.count;b++){for(let p=0;p<3;p++){let A=o.high[p]-o.low[p],y=Math.min(Math.max((i.centers[3*b+p]-o.low[p])/A,0),1)*(x[p]-1);E[p]=Math.min(Math.floor(y),x[p]-2),w[p]=y-E[p]}let S=E[0]*g[0]+E[1]*g[1]+E[2]*g[2],R=4*(e+b);for(let p=0;p<3;p++){let A=i.centers[3*b+p];for(let y=0;y<8;y++){let k=y&1,M=y>>1&1,L=y>>2,B=(k?w[0]:1-w[0])*(M?w[1]:1-w[1])*(L?w[2]:1-w[2]);A+=B*m[S+k*g[0]+M*g[1]+L*g[2]+p]}s[R+p]=A}}}var vt=`#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;

uniform sampler2D uCenters;    // canonical centre, opacity
uniform sampler2D uShapes;     // 5 texels for each surfel
uniform usampler2D uBones;     // bones of each surfel, counted over all layers
uniform sampler2D uHarmonics;  // coefficients from degree 1 on, uHarmonicTexels for each surfel
uniform sampler2D uPoses;      // 4 texels for each bone: rows of [R | t], quaternion
uniform sampler2D uLayers;     // 1 texel for each layer: dual quaternions?, largest coefficient of degrees 1 to 3
uniform int uHarmonicTexels;
uniform mat4x3 uCamFromWorld;  // columns: rotation, translation
uniform vec3 uEye;
uniform vec2 uFocal;
uniform vec2 uPrincipal;
uniform vec2 uSize;

in uint aSurfel;

flat out vec4 vCenterSlope;    // centre in pixels, h
flat out vec4 vAxes;           // a, b: pixel offsets to standard deviations
flat out vec4 vColor;          // rgb, opacity
flat out vec2 vReach;          // squared Mahalanobis radius at which alpha falls to its least; depth of the centre

const float NEAR = 0.01;
const float EDGE_ON = 1e-4;

vec4 texel(sampler2D table, int index) {
  return texelFetch(table, ivec2(index % 2048, index / 2048), 0);
}

vec4 product(vec4 a, vec4 b) {
  return vec4(a.w * b.xyz + b.w * a.xyz + cross(a.xyz, b.xyz), a.w * b.w - dot(a.xyz, b.xyz));
}

vec3 turned(vec4 q, vec3 v) {
  vec3 u = 2.0 * cross(q.xyz, v);
  return v + q.w * u + cross(q.xyz, u);
}

// Blends the bones' transforms: moves p, and gives the rotation that goes with it.
vec4 warp(uvec4 bones, vec4 weights, bool dual, inout vec3 p) {
  vec4 real = vec4(0.0), other = vec4(0.0), first = texel(uPoses, 4 * int(bones.x) + 3);
  vec3 moved = vec3(0.0);
  for (int k = 0; k < 4; k++) {
    if (weights[k] == 0.0) continue;
    int at = 4 * int(bones[k]);
    vec4 row0 = texel(uPoses, at), row1 = texel(uPoses, at + 1), row2 = texel(uPoses, at + 2), q = texel(uPoses, at + 3);
    float weight = weights[k];
    moved += weight * (vec3(dot(row0.xyz, p), dot(row1.xyz, p), dot(row2.xyz, p)) + vec3(row0.w, row1.w, row2.w));
    if (dot(first, q) < 0.0) weight = -weight;
    real += weight * q;
    if (dual) other += weight * 0.5 * product(vec4(row0.w, row1.w, row2.w, 0.0), q);
  }
  float size = length(real);
  real /= size;
  if (dual) {
    moved = turned(real, p) + 2.0 * product(other / size, vec4(-real.xyz, real.w)).xyz;
  }
  p = moved;
  return real;
}

vec3 harmonic(int surfel, int k, float limit) {
  vec3 stored = texel(uHarmonics, surfel * uHarmonicTexels + k - 1).rgb;
  return (stored * 255.0 - 128.0) / 127.0 * limit;
}

vec3 colorOf(int surfel, vec3 base, vec3 limits, vec3 d) {
  vec3 c = base;
  if (uHarmonicTexels >= 3) {
    c += 0.4886025119029199 *
      (-d.y * harmonic(surfel, 1, limits.x) + d.z * harmonic(surfel, 2, limits.x) - d.x * harmonic(surfel, 3, limits.x));
  }
  if (uHarmonicTexels >= 8) {
    c += 1.0925484305920792 * d.x * d.y * harmonic(surfel, 4, limits.y)
       - 1.0925484305920792 * d.y * d.z * harmonic(surfel, 5, limits.y)
       + 0.31539156525252005 * (2.0 * d.z * d.z - d.x * d.x - d.y * d.y) * harmonic(surfel, 6, limits.y)
       - 1.0925484305920792 * d.x * d.z * harmonic(surfel, 7, limits.y)
       + 0.5462742152960396 * (d.x * d.x - d.y * d.y) * harmonic(surfel, 8, limits.y);
  }
  if (uHarmonicTexels >= 15) {
    float xx = d.x * d.x, yy = d.y * d.y, zz = d.z * d.z;
    c += -0.5900435899266435 * d.y * (3.0 * xx - yy) * harmonic(surfel, 9, limits.z)
       + 2.890611442640554 * d.x * d.y * d.z * harmonic(surfel, 10, limits.z)
       - 0.4570457994644658 * d.y * (4.0 * zz - xx - yy) * harmonic(surfel, 11, limits.z)
       + 0.3731763325901154 * d.z * (2.0 * zz - 3.0 * xx - 3.0 * yy) * harmonic(surfel, 12, limits.z)
       - 0.4570457994644658 * d.x * (4.0 * zz - xx - yy) * harmonic(surfel, 13, limits.z)
       + 1.445305721320277 * d.z * (xx - yy) * harmonic(surfel, 14, limits.z)
       - 0.5900435899266435 * d.x * (xx - 3.0 * yy) * harmonic(surfel, 15, limits.z);
  }
  return max(c, 0.0);
}

// Box around the image of the disc m + cos(t) u + sin(t) v, in pixels from the principal point: low in xy, high in zw.
vec4 boxOf(vec3 m, vec3 u, vec3 v) {
  float d = m.z * m.z - u.z * u.z - v.z * v.z;
  if (m.z - sqrt(u.z * u.z + v.z * v.z) > NEAR) {
    vec2 middle = (m.xy * m.z - u.xy * u.z - v.xy * v.z) / d;
    vec2 reach = sqrt(max(middle * middle - (m.xy * m.xy - u.xy * u.xy - v.xy * v.xy) / d, 0.0));
    return vec4((middle - reach) * uFocal, (middle + reach) * uFocal);
  }
  // The disc reaches behind the camera: its outline is extreme where it turns back, or where the near plane cuts it.
  vec3 equations[3] = vec3[3](
    vec3(v.x * m.z - m.x * v.z, m.x * u.z - u.x * m.z, v.x * u.z - u.x * v.z),
    vec3(v.y * m.z - m.y * v.z, m.y * u.z - u.y * m.z, v.y * u.z - u.y * v.z),
    vec3(u.z, v.z, m.z - NEAR));
  vec2 low = vec2(1e30), high = vec2(-1e30);
  for (int i = 0; i < 3; i++) {
    vec3 e = equations[i];
    float share = -e.z / length(e.xy);
    if (!(abs(share) <= 1.0)) continue;
    for (int side = -1; side <= 1; side += 2) {
      float t = atan(e.y, e.x) + float(side) * acos(share);
      vec3 p = m + cos(t) * u + sin(t) * v;
      if (p.z < NEAR * 0.99) continue;
      low = min(low, p.xy / p.z);
      high = max(high, p.xy / p.z);
    }
  }
  return low.x <= high.x ? vec4(low * uFocal, high * uFocal) : vec4(-1e9, -1e9, 1e9, 1e9);
}

void main() {
  gl_Position = vec4(2.0, 2.0, 2.0, 1.0); // outside: not drawn
  int surfel = int(aSurfel);
  vec4 centerOpacity = texel(uCenters, surfel);
  vec4 turn = texel(uShapes, 5 * surfel);
  vec4 colorScale = texel(uShapes, 5 * surfel + 1);
  vec4 scaleLayer = texel(uShapes, 5 * surfel + 2);
  vec4 weights = texel(uShapes, 5 * surfel + 3);
  vec4 frame = texel(uShapes, 5 * surfel + 4);
  vec4 layer = texel(uLayers, int(scaleLayer.y));
  uvec4 bones = texelFetch(uBones, ivec2(surfel % 2048, surfel / 2048), 0);
  float opacity = centerOpacity.w;
  if (opacity < 1.0 / 255.0) return;

  vec3 p = centerOpacity.xyz;
  vec4 moved = warp(bones, weights, layer.x > 0.5, p);
  vec3 m = uCamFromWorld * vec4(p, 1.0);
  if (m.z <= NEAR) return;

  vec4 q = product(moved, turn);
  mat3 rotation = mat3(uCamFromWorld);
  vec3 tu = rotation * turned(q, vec3(1.0, 0.0, 0.0)), tv = rotation * turned(q, vec3(0.0, 1.0, 0.0));
  vec3 n = cross(tu, tv);
  vec3 ray = m / m.z;
  vec2 c = uFocal * ray.xy + uPrincipal;
  float least = 1e-4 * m.z / max(uFocal.x, uFocal.y);
  float su = max(colorScale.w, least), sv = max(scaleLayer.x, least);
  float facing = dot(n, ray);
  vec2 h = vec2(0.0), a = vec2(1e4, 0.0), b = vec2(0.0, 1e4);
  float r2 = 2.0 * log(opacity * 255.0), circle = sqrt(r2 / 2.0);
  vec4 box = vec4(c - circle, c + circle);
  if (abs(facing) >= EDGE_ON * length(ray)) {
    h = n.xy / uFocal / facing;
    a = (tu.xy / uFocal - dot(tu, ray) * h) * (m.z / su);
    b = (tv.xy / uFocal - dot(tv, ray) * h) * (m.z / sv);
    vec4 disc = boxOf(m, sqrt(r2) * su * tu, sqrt(r2) * sv * tv) + uPrincipal.xyxy;
    box = vec4(min(box.xy, disc.xy), max(box.zw, disc.zw));
  }
  box = clamp(box, vec4(-1.0), uSize.xyxy + 1.0);
  if (box.x >= box.z || box.y >= box.w) return;

  vec4 colorTurn = product(moved, frame);
  vec3 view = turned(vec4(-colorTurn.xyz, colorTurn.w), normalize(p - uEye));
  vCenterSlope = vec4(c, h);
  vAxes = vec4(a, b);
  vColor = vec4(colorOf(surfel, colorScale.rgb, layer.yzw, view), opacity);
  vReach = vec2(r2, m.z);
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  vec2 pixel = mix(box.xy, box.zw, corner);
  gl_Position = vec4(2.0 * pixel.x / uSize.x - 1.0, 1.0 - 2.0 * pixel.y / uSize.y, 0.0, 1.0);
}
`,xt=`#version 300 es
precision highp float;
uniform vec2 uSize;
flat in vec4 vCenterSlope;
flat in vec4 vAxes;
flat in vec4 vColor;
flat in vec2 vReach;
out vec4 color;

void main() {
  vec2 d = vec2(gl_FragCoord.x, uSize.y - gl_FragCoord.y) - vCenterSlope.xy;
  float den = 1.0 + dot(vCenterSlope.zw, d);
  float rho = 2.0 * dot(d, d);
  if (den > 0.0 && den * 0.01 < vReach.y) {
    vec2 s = vec2(dot(vAxes.xy, d), dot(vAxes.zw, d)) / den;
    rho = min(rho, dot(s, s));
  }
  if (rho > vReach.x) discard;
  float alpha = min(vColor.a * exp(-0.5 * rho), 0.999);
  color = vec4(vColor.rgb * alpha, alpha);
}
`,gt=`#version 300 es
void main() {
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}
`,wt=`#version 300 es
precision highp float;
uniform highp sampler2D uImage;
uniform vec3 uBackground;
out vec4 color;

void main() {
  vec4 image = texelFetch(uImage, ivec2(gl_FragCoord.xy), 0);
  color = vec4(image.rgb + (1.0 - image.a) * uBackground, 1.0);
}
`;var Y=class{constructor(t){this.layers=t.filter(s=>s.looks.length)}write(t,s,e){for(let o of this.layers)for(let r of o.looks)this.writeLook(o,r,t,s,e);return this.layers.length>0}writeLook(t,s,e,o,r){let n=s.limits.map((f,h)=>{let d=0;for(let[u,m]of st(s,e))d+=m*s.courses[h][u];return d*f}),a=n.length,c=s.columns/a,l=new Float64Array(c);for(let f=0;f<t.count;f++){l.fill(0);for(let u=0;u<a;u++)for(let m=0;m<c;m++)l[m]+=n[u]*s.values[f*s.columns+u*c+m];let h=t.firstSurfel+f,d=20*h;if(s.kind==="centers")for(let u=0;u<3;u++)o[4*h+u]=t.centers[3*f+u]+l[u];else if(s.kind==="turns"){for(let u=0;u<4;u++)l[u]+=t.turns[4*f+u];bt(l,r,d)}else if(s.kind==="frames")l[3]+=1,bt(l,r,d+16);else if(s.kind==="opacity")o[4*h+3]=Math.min(Math.max(t.opacities[f]+l[0],0),1);else if(s.kind==="scales")r[d+7]=t.scales[2*f]*Math.exp(l[0]),r[d+8]=t.scales[2*f+1]*Math.exp(l[1]);else for(let u=0;u<3;u++)r[d+4+u]=t.base[3*f+u]+l[u]}}};function bt(i,t,s){let e=1/Math.hypot(...i);for(let o=0;o<4;o++)t[s+o]=i[o]*e}var j=class{constructor(t){this.depths=new Float32Array(t),this.result=new Uint32Array(t),this.counts=new Uint32Array(65537)}sort(t,s,e,o){let r=1/0,n=-1/0;for(let h of t)if(h.visible){h.blend==="linear"||h.bones===1?this.linearDepths(h,s,e,o):this.dualDepths(h,s,e,o);for(let d=h.firstSurfel;d<h.firstSurfel+h.count;d++){let u=this.depths[d];u<r&&(r=u),u>n&&(n=u)}}let a=this.counts.fill(0),c=n>r?65535/(n-r):0,l=h=>65535-(this.depths[h]-r)*c|0,f=0;for(let h of t)if(h.visible){f+=h.count;for(let d=h.firstSurfel;d<h.firstSurfel+h.count;d++)a[l(d)+1]++}for(let h=0;h<65536;h++)a[h+1]+=a[h];for(let h of t)if(h.visible)for(let d=h.firstSurfel;d<h.firstSurfel+h.count;d++)this.result[a[l(d)]++]=d;return f}linearDepths(t,s,e,o){let r=new Float32Array(4*t.bones);for(let n=0;n<t.bones;n++){let a=16*(t.firstBone+n);for(let c=0;c<4;c++)r[4*n+c]=o[0]*e[a+c]+o[1]*e[a+4+c]+o[2]*e[a+8+c];r[4*n+3]+=o[3]}for(let n=0;n<t.count;n++){let a=4*(t.firstSurfel+n),c=0;for(let l=0;l<4;l++){let f=t.weights[4*n+l];if(f===0)continue;let h=4*t.boneOf[4*n+l];c+=f*(r[h]*s[a]+r[h+1]*s[a+1]+r[h+2]*s[a+2]+r[h+3])}this.depths[t.firstSurfel+n]=c}}dualDepths(t,s,e,o){let r=new Float32Array(4*t.bones);for(let c=0;c<t.bones;c++){let l=16*(t.firstBone+c),[f,h,d]=[e[l+3],e[l+7],e[l+11]],[u,m,x,g]=e.subarray(l+12,l+16);r[4*c]=.5*(f*g+h*x-d*m),r[4*c+1]=.5*(-f*x+h*g+d*u),r[4*c+2]=.5*(f*m-h*u+d*g),r[4*c+3]=-.5*(f*u+h*m+d*x)}let n=new Float64Array(4),a=new Float64Array(4);for(let c=0;c<t.count;c++){n.fill(0),a.fill(0);let l=16*(t.firstBone+t.boneOf[4*c])+12;for(let B=0;B<4;B++){let at=t.boneOf[4*c+B],ct=16*(t.firstBone+at)+12,ht=0;for(let T=0;T<4;T++)ht+=e[l+T]*e[ct+T];let lt=t.weights[4*c+B]*(ht<0?-1:1);for(let T=0;T<4;T++)n[T]+=lt*e[ct+T],a[T]+=lt*r[4*at+T]}let f=1/(n[0]**2+n[1]**2+n[2]**2+n[3]**2),[h,d,u,m]=n,[x,g,E,w]=a,b=[2*f*(-w*h+x*m-g*u+E*d),2*f*(-w*d+x*u+g*m-E*h),2*f*(-w*u-x*d+g*h+E*m)],S=4*(t.firstSurfel+c),[R,p,A]=[s[S],s[S+1],s[S+2]],[y,k,M]=[2*(d*A-u*p),2*(u*R-h*A),2*(h*p-d*R)],L=[R+f*(m*y+d*M-u*k)+b[0],p+f*(m*k+u*y-h*M)+b[1],A+f*(m*M+h*k-d*y)+b[2]];this.depths[t.firstSurfel+c]=o[0]*L[0]+o[1]*L[1]+o[2]*L[2]+o[3]}}};var H=class{constructor(t,s){let e=t.getContext("webgl2",{alpha:!1,antialias:!1,powerPreference:"high-performance"});if(!e)throw new Error("this browser has no WebGL 2");this.gl=e,this.layers=s,this.count=0,this.bones=0;for(let o of s)o.firstSurfel=this.count,o.firstBone=this.bones,this.count+=o.count,this.bones+=o.bones;this.deep=!!(e.getExtension("EXT_color_buffer_float")??e.getExtension("EXT_color_buffer_half_float")),this.surfels=yt(e,vt,xt),this.screen=yt(e,gt,wt),this.poses=new Float32Array(U(4*this.bones,4)),this.order=new j(this.count),this.looks=new Y(s),this.makeTables(),this.makeGeometry(),this.image=null,this.size=[0,0]}makeTables(){let t=this.gl,s=Math.max(...this.layers.map(n=>n.degree));this.harmonicTexels=(s+1)**2-1,this.centers=new Float32Array(U(this.count,4)),this.shapes=new Float32Array(U(5*this.count,4));let e=new Uint16Array(U(this.count,4)),o=new Uint8Array(U(Math.max(1,this.harmonicTexels*this.count),4)).fill(128),r=new Float32Array(U(this.layers.length,4));this.layers.forEach((n,a)=>{r.set([n.blend==="linear"?0:1,0,0,0],4*a),n.bands.forEach((c,l)=>r[4*a+1+l]=c);for(let c=0;c<n.count;c++){let l=n.firstSurfel+c;this.centers.set(n.centers.subarray(3*c,3*c+3),4*l),this.centers[4*l+3]=n.opacities[c];let f=20*l;this.shapes.set(n.turns.subarray(4*c,4*c+4),f),this.shapes.set(n.base.subarray(3*c,3*c+3),f+4),this.shapes[f+7]=n.scales[2*c],this.shapes[f+8]=n.scales[2*c+1],this.shapes[f+9]=a,this.shapes.set(n.weights.subarray(4*c,4*c+4),f+12),this.shapes[f+19]=1;for(let h=0;h<4;h++)e[4*l+h]=n.firstBone+n.boneOf[4*c+h];Rt(n,c,o,4*this.harmonicTexels*l)}}),this.tables={uCenters:I(t,t.RGBA32F,t.RGBA,t.FLOAT,this.centers),uShapes:I(t,t.RGBA32F,t.RGBA,t.FLOAT,this.shapes),uBones:I(t,t.RGBA16UI,t.RGBA_INTEGER,t.UNSIGNED_SHORT,e),uHarmonics:I(t,t.RGBA8,t.RGBA,t.UNSIGNED_BYTE,o),uPoses:I(t,t.RGBA32F,t.RGBA,t.FLOAT,this.poses),uLayers:I(t,t.RGBA32F,t.RGBA,t.FLOAT,r)}}makeGeometry(){let t=this.gl;this.geometry=t.createVertexArray(),t.bindVertexArray(this.geometry),this.instances=t.createBuffer(),t.bindBuffer(t.ARRAY_BUFFER,this.instances),t.bufferData(t.ARRAY_BUFFER,4*this.count,t.STREAM_DRAW);let s=t.getAttribLocation(this.surfels.id,"aSurfel");t.enableVertexAttribArray(s),t.vertexAttribIPointer(s,1,t.UNSIGNED_INT,0,0),t.vertexAttribDivisor(s,1),t.bindVertexArray(null),this.nothing=t.createVertexArray()}setTime(t){let s=this.gl,e=!1;for(let r of this.layers)mt(r,t,this.poses,r.firstBone),r.residual&&(pt(r,t,this.centers,r.firstSurfel),e=!0);let o=this.looks.write(t,this.centers,this.shapes);J(s,this.tables.uPoses,s.RGBA,s.FLOAT,this.poses),(e||o)&&J(s,this.tables.uCenters,s.RGBA,s.FLOAT,this.centers),o&&J(s,this.tables.uShapes,s.RGBA,s.FLOAT,this.shapes)}draw(t,s){let e=this.gl,[o,r]=[e.drawingBufferWidth,e.drawingBufferHeight];this.resize(o,r);let n=this.order.sort(this.layers,this.centers,this.poses,t.camFromWorld[2]);e.bindFramebuffer(e.FRAMEBUFFER,this.target),e.viewport(0,0,o,r),e.clearColor(0,0,0,0),e.clear(e.COLOR_BUFFER_BIT),e.useProgram(this.surfels.id);let a=this.surfels.uniform,c=t.camFromWorld;e.uniformMatrix4x3fv(a("uCamFromWorld"),!1,[0,1,2,3].flatMap(l=>[c[0][l],c[1][l],c[2][l]])),e.uniform3fv(a("uEye"),ft(c)),e.uniform2fv(a("uFocal"),t.focal),e.uniform2fv(a("uPrincipal"),t.principal),e.uniform2f(a("uSize"),o,r),e.uniform1i(a("uHarmonicTexels"),this.harmonicTexels),Object.entries(this.tables).forEach(([l,f],h)=>{e.activeTexture(e.TEXTURE0+h),e.bindTexture(e.TEXTURE_2D,f),e.uniform1i(a(l),h)}),e.bindVertexArray(this.geometry),e.bindBuffer(e.ARRAY_BUFFER,this.instances),e.bufferSubData(e.ARRAY_BUFFER,0,this.order.result,0,n),e.enable(e.BLEND),e.blendFunc(e.ONE,e.ONE_MINUS_SRC_ALPHA),e.drawArraysInstanced(e.TRIANGLE_STRIP,0,4,n),e.disable(e.BLEND),e.bindFramebuffer(e.FRAMEBUFFER,null),e.useProgram(this.screen.id),e.activeTexture(e.TEXTURE0),e.bindTexture(e.TEXTURE_2D,this.image),e.uniform1i(this.screen.uniform("uImage"),0),e.uniform3fv(this.screen.uniform("uBackground"),s),e.bindVertexArray(this.nothing),e.drawArrays(e.TRIANGLES,0,3)}resize(t,s){if(this.size[0]===t&&this.size[1]===s)return;let e=this.gl;this.image&&e.deleteTexture(this.image),this.target&&e.deleteFramebuffer(this.target),this.size=[t,s],this.image=e.createTexture(),e.bindTexture(e.TEXTURE_2D,this.image),e.texStorage2D(e.TEXTURE_2D,1,this.deep?e.RGBA16F:e.RGBA8,t,s),Et(e),this.target=e.createFramebuffer(),e.bindFramebuffer(e.FRAMEBUFFER,this.target),e.framebufferTexture2D(e.FRAMEBUFFER,e.COLOR_ATTACHMENT0,e.TEXTURE_2D,this.image,0)}},U=(i,t)=>Math.ceil(i/2048)*2048*t;function Rt(i,t,s,e){let o=0;for(let r=0;r<(i.degree+1)**2-1;r++)for(let n=0;n<3;n++)s[e+4*r+n]=i.harmonics[o*i.count+t],o++}function I(i,t,s,e,o){let r=i.createTexture();return i.bindTexture(i.TEXTURE_2D,r),i.texStorage2D(i.TEXTURE_2D,1,t,2048,o.length/4/2048),Et(i),J(i,r,s,e,o),r}function J(i,t,s,e,o){i.activeTexture(i.TEXTURE0),i.bindTexture(i.TEXTURE_2D,t),i.texSubImage2D(i.TEXTURE_2D,0,0,0,2048,o.length/4/2048,s,e,o)}function Et(i){for(let t of[i.TEXTURE_MIN_FILTER,i.TEXTURE_MAG_FILTER])i.texParameteri(i.TEXTURE_2D,t,i.NEAREST);for(let t of[i.TEXTURE_WRAP_S,i.TEXTURE_WRAP_T])i.texParameteri(i.TEXTURE_2D,t,i.CLAMP_TO_EDGE)}function yt(i,t,s){let e=i.createProgram();for(let[n,a]of[[i.VERTEX_SHADER,t],[i.FRAGMENT_SHADER,s]]){let c=i.createShader(n);if(i.shaderSource(c,a),i.compileShader(c),!i.getShaderParameter(c,i.COMPILE_STATUS)&&!i.isContextLost())throw new Error(`the shader did not compile: ${i.getShaderInfoLog(c)}`);i.attachShader(e,c)}if(i.linkProgram(e),!i.getProgramParameter(e,i.LINK_STATUS)&&!i.isContextLost())throw new Error(`the shaders do not fit: ${i.getProgramInfoLog(e)}`);let o=new Map;return{id:e,uniform:n=>(o.has(n)||o.set(n,i.getUniformLocation(e,n)),o.get(n))}}var Q=1.55,Z=class{constructor(t,s,e,o){this.canvas=t,this.up=e,this.start=s,this.changed=o,this.ahead=et(e),this.side=P(e,this.ahead),this.offset=[0,0,0],this.pointers=new Map,this.reset(),this.listen()}reset(){this.target=this.start.target,this.fovY=this.start.fovY;let t=V(this.start.eye,this.start.target);this.distance=$(t)||1;let s=O(t);this.turn=Math.atan2(N(s,this.side),N(s,this.ahead)),this.tilt=D(Math.asin(D(N(s,this.up),-1,1)),-Q,Q),this.changed()}camera(t,s){let e=_(z(this.ahead,Math.cos(this.turn)),z(this.side,Math.sin(this.turn))),o=_(z(e,Math.cos(this.tilt)),z(this.up,Math.sin(this.tilt))),r=_(this.target,this.offset),n=_(r,z(o,this.distance)),c=.5*Math.min(s,t/this.start.aspect)/Math.tan(this.fovY/2);return{camFromWorld:ut(n,r,this.up),focal:[c,c],principal:[t/2,s/2]}}rotate(t,s){this.turn-=t,this.tilt=D(this.tilt+s,-Q,Q),this.changed()}zoom(t){this.distance=D(this.distance*t,.001*this.start.radius,1e3*this.start.radius),this.changed()}pan(t,s){let{camFromWorld:e,focal:o}=this.camera(this.canvas.clientWidth,this.canvas.clientHeight),r=this.distance/o[0],[n,a]=e.map(c=>c.slice(0,3));this.target=V(this.target,_(z(n,t*r),z(a,s*r))),this.changed()}listen(){let t=this.canvas,s=()=>Math.PI/Math.max(1,Math.min(t.clientWidth,t.clientHeight));t.addEventListener("pointerdown",e=>{t.setPointerCapture(e.pointerId),this.pointers.set(e.pointerId,e)}),t.addEventListener("pointermove",e=>{let o=this.pointers.get(e.pointerId);if(!o)return;let[r,n]=[e.clientX-o.clientX,e.clientY-o.clientY];if(this.pointers.size===1)e.buttons&6||e.shiftKey?this.pan(r,n):this.rotate(r*s(),n*s());else if(this.pointers.size===2){let a=[...this.pointers.values()].find(l=>l.pointerId!==e.pointerId),c=l=>Math.hypot(l.clientX-a.clientX,l.clientY-a.clientY);this.zoom(Math.max(c(o),1)/Math.max(c(e),1)),this.pan(r/2,n/2)}this.pointers.set(e.pointerId,e)});for(let e of["pointerup","pointercancel","lostpointercapture"])t.addEventListener(e,o=>this.pointers.delete(o.pointerId));t.addEventListener("contextmenu",e=>e.preventDefault()),t.addEventListener("dblclick",()=>this.reset()),t.addEventListener("wheel",e=>{e.preventDefault();let o=e.deltaMode===1?16:e.deltaMode===2?400:1;this.zoom(Math.exp(D(e.deltaY*o,-300,300)*.001))},{passive:!1})}};var Ft=Math.SQRT1_2;async function Tt(i){let t=Uint8Array.from(atob(i.trim()),c=>c.charCodeAt(0)),s=new Blob([t]).stream().pipeThrough(new DecompressionStream("gzip")),e=new Uint8Array(await new Response(s).arrayBuffer());if(String.fromCharCode(...e.subarray(0,4))!=="R4DW")throw new Error("this is not a recon4d scene");let o=new DataView(e.buffer).getUint32(4,!0),r=JSON.parse(new TextDecoder().decode(e.subarray(8,8+o)));if(r.format!=="recon4d-web"||r.version!==1)throw new Error("this scene needs another player");let n=new ot(e,8+o),a=r.layers.map(c=>kt(c,n));if(n.at!==e.length)throw new Error("the scene is damaged");return{header:r,layers:a}}var ot=class{constructor(t,s){this.bytes=t,this.at=s}planes(t,s){let e=s===1?new Uint8Array(t):s===2?new Uint16Array(t):new Uint32Array(t);for(let o=0;o<s;o++){let r=this.take(t);for(let n=0;n<t;n++)e[n]=(e[n]<<8|r[n])>>>0}return e}floats(t){return new Float32Array(this.take(4*t).slice().buffer)}take(t){if(this.at+t>this.bytes.length)throw new Error("the scene is cut short");return this.at+=t,this.bytes.subarray(this.at-t,this.at)}};function X(i,t,s,e,o,r){let n=new Float32Array(t*s);for(let a=0;a<s;a++){let c=(o[a]-e[a])/r;for(let l=0;l<t;l++)n[l*s+a]=e[a]+i[a*t+l]*c}return n}function kt(i,t){let s=i.count,e=a=>[a,a,a],o={...i,visible:!0};o.centers=X(t.planes(3*s,2),s,3,i.low,i.high,65535),o.turns=Lt(t.planes(s,4)),o.scales=X(t.planes(2*s,1),s,2,...i.logScales.map(e),255).map(Math.exp),o.opacities=X(t.planes(s,1),s,1,[0],[1],255),o.base=X(t.planes(3*s,2),s,3,...i.colors.map(e),65535),o.harmonics=t.planes(3*((i.degree+1)**2-1)*s,1),Mt(o,t),o.pivots=t.floats(3*i.bones);let[r,n]=[i.trackLow,i.trackHigh].map(a=>Array.from({length:3*i.bones},(c,l)=>a[l%3]));if(o.places=X(t.planes(3*i.bones*i.samples,2),i.samples,3*i.bones,r,n,65535),o.rotations=it(t.planes(4*i.bones*i.samples,2),i.samples,4*i.bones,1),i.residual){let a=i.residual.size.reduce((c,l)=>c*l);o.grid=it(t.planes(3*a,2),a,3,i.residual.limit)}return o.looks=(i.looks??[]).map(a=>({...a,values:it(t.planes(a.columns*s,2),s,a.columns,1)})),o}function Mt(i,t){let s=i.count;if(i.boneOf=new Uint16Array(4*s),i.weights=new Float32Array(4*s),i.bones===1){for(let r=0;r<s;r++)i.weights[4*r]=1;return}let e=t.planes(4*s,i.bones<=256?1:2),o=t.planes(3*s,2);for(let r=0;r<s;r++){let n=1;for(let a=0;a<4;a++)i.boneOf[4*r+a]=e[a*s+r],a&&(n-=i.weights[4*r+a]=o[(a-1)*s+r]/65535);i.weights[4*r]=n}}function it(i,t,s,e){let o=i.BYTES_PER_ELEMENT===1?128:32768,r=new Float32Array(t*s);for(let n=0;n<s;n++)for(let a=0;a<t;a++)r[a*s+n]=(i[n*t+a]-o)/(o-1)*e;return r}function Lt(i){let t=new Float32Array(4*i.length);for(let s=0;s<i.length;s++){let e=i[s]>>>30,o=1;for(let r=1;r<4;r++){let n=((i[s]>>>30-10*r&1023)/1023*2-1)*Ft;t[4*s+(e+r)%4]=n,o-=n*n}t[4*s+e]=Math.sqrt(Math.max(o,0))}return t}var rt=["#ffffff","#808080","#101014","#000000"],Bt=2,nt=class{constructor(t,s){let{header:e,layers:o}=s;this.canvas=t,this.header=e,this.layers=o,this.title=e.title,this.clock=new G(e.times),this.background=e.background,this.fixedCamera=null,this.travels=!!e.follow,this.following=this.travels,this.dirty=!0,this.renderer=new H(t,o),this.orbit=new Z(t,{...e.view,radius:e.radius},e.up,()=>this.viewChanged()),this.watchContext(),new ResizeObserver(()=>this.dirty=!0).observe(t);let r=performance.now(),n=a=>{this.clock.tick(Math.min(a-r,250)/1e3),r=a,(this.clock.playing||this.dirty)&&this.draw(),requestAnimationFrame(n)};requestAnimationFrame(n)}viewChanged(){this.fixedCamera=null,this.dirty=!0}draw(){let t=this.canvas,s=Math.min(devicePixelRatio||1,Bt),[e,o]=this.fixedCamera?.size??[t.clientWidth*s,t.clientHeight*s].map(Math.round);if(e<1||o<1||this.lost)return;(t.width!==e||t.height!==o)&&Object.assign(t,{width:e,height:o});let r=this.clock.shown;this.orbit.offset=this.following?_t(this.header.follow,r):[0,0,0],this.drawnTime!==r&&this.renderer.setTime(r),this.drawnTime=r,this.renderer.draw(this.fixedCamera??this.orbit.camera(e,o),Dt(this.background)),this.dirty=!1,this.controls?.update()}togglePlay(){this.clock.play(),this.dirty=!0}scrub(t){this.clock.play(!1),this.clock.set(t),this.dirty=!0}step(t){this.clock.step(t),this.dirty=!0}setSpeed(t){this.clock.speed=t,this.dirty=!0}toggleLoop(){this.clock.loop=!this.clock.loop,this.dirty=!0}setBackground(t){this.background=t,this.dirty=!0}nextBackground(){this.setBackground(rt[(rt.indexOf(this.background)+1)%rt.length])}showLayer(t,s){this.layers[t].visible=s,this.dirty=!0}follow(t){this.following=t,this.dirty=!0}resetView(){this.orbit.reset()}fullScreen(){document.fullscreenElement?document.exitFullscreen():document.documentElement.requestFullscreen?.()}picture(){return this.draw(),this.canvas.toDataURL("image/png")}savePicture(){let t=document.createElement("a");t.href=this.picture(),t.download=`picture-${this.clock.shown.toFixed(2)}s.png`,t.click()}setCamera(t,s,e,o){this.fixedCamera={camFromWorld:t,focal:s,principal:e,size:o},this.dirty=!0}watchContext(){this.canvas.addEventListener("webglcontextlost",t=>{t.preventDefault(),this.lost=!0}),this.canvas.addEventListener("webglcontextrestored",()=>{this.renderer=new H(this.canvas,this.layers),Object.assign(this,{lost:!1,drawnTime:void 0,dirty:!0})})}};function _t(i,t){let s=i.middles.length,e=Math.min(Math.max((t-i.first)/i.step,0),s-1),o=Math.min(Math.floor(e),s-2),r=e-o;return[0,1,2].map(n=>(1-r)*i.middles[o][n]+r*i.middles[o+1][n])}var Dt=i=>[1,3,5].map(t=>parseInt(i.slice(t,t+2),16)/255);async function Ut(){let i=document.getElementById("status");try{let t=document.getElementById("picture"),s=new nt(t,await Tt(document.getElementById("scene")?.textContent??window.recon4dScene));s.controls=new W(document.getElementById("controls"),s);let e=new URLSearchParams(location.hash.slice(1)).get("t");e!==null&&Number.isFinite(Number(e))?s.scrub(Number(e)):matchMedia("(prefers-reduced-motion: reduce)").matches||s.clock.play(!0),s.draw(),i.hidden=!0,window.recon4d=s,document.documentElement.dataset.ready="yes"}catch(t){i.textContent=`This scene cannot be shown: ${t.message}.`,document.documentElement.dataset.ready="failed"}}Ut();})();

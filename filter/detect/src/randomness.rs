//! How much a value looks drawn by lot and not written by a person.
//!
//! A table of letter pairs, counted over the words and names of about 12 MB of program text, says how much more
//! often a pair stands there than in a uniform draw from 64 signs. The mean over a value tells keys from names:
//! ordinary identifiers score between 1 and 3 bits a pair, random base62 below -1.5, random lower-case letters and
//! digits below -0.8, random hexadecimal below 0.

/// One row for each first sign, one column for each second: quarters of a bit plus [`ZERO`], as printable bytes.
const PAIRS: [&[u8; 64]; 64] = [
    br"<FKJ<>J2E0;MIK3J/LIOFC:E@4*9BC-6<-/#&B4A#>#BC@A6//#,*275*10*,'I@",
    br"L=E=H=>4KF8M?<HC*GGDM323C0I(0'I1+*H#-G-,G*%F2.K%##F#-451631.3,KA",
    br"L>D@M?9KE1HHD@NE4HDLD;84@$G+1+@1%E8##F4+O3#E49?#%#5#)3330(7',)KB",
    br"IDAEPB<@N13CAAGA.GHAC=<6=)G210K1#9G&#3&8B-#@:-=5/(8#,764/33,,+QM",
    br"GAIJ@CB6=/6FFL@B?PKK:F;G@,6#25#1(#,'#<:D*04E3.*@#E$#)035+'/%)%PJ",
    br"K:BBHI:6N&6O>@M=3EHDC1:4A#F#-9@,%*L##G3:I2$H;1C76.&#/685.12/71MA",
    br"D=B=Q=?EI):G@FGC0IICH>70:&=(18M##+8#$='.99#H-.A-###55792***-*(RI",
    br"P9CAO:9<L#;=C?L>.GAJE>B)@:J';3I%##D#044%E2#.,D<@0(9,#34:*>@#%*NI",
    br"ECKMEGF3;,9IHQMF4DJL6C;>(C)#3B'23)##(,?L;9#.=A#%#$###43--#,#3#GB",
    br"E5<9U750H1D8:4OH.7G=F4>2..G,0,G,..:,10.1M7.,J,E,;,4,0>50,,,,.,I>",
    br"F@EBR?C<I*4??E>A7?NCC:@04.<*+3N)&6J&$-&;3(*78(0403$)13+5&&5$$&PM",
    br"N@@EP>@4O3:K<7LA/AFHH>64B2D2**F###H$#+)#G(#%4+2+##+##766-)0$B$NG",
    br"PCDEP=:7K,8AK?JJ0<FBA>893-K+71H,4.D#&,9%G6#1>/B%##9##/31,&8'&%ND",
    br"J9HKMIK8F2AE=CK>.@JOEE5/;)E,#5C.%-/##,&$G###05A$##'#&3/4(#/$&$OH",
    br"ADJH<DD4C1?JHQCL+OFJJBG;9*+A3%)B$#-#16.?%E#>65@99)###51(##&$(#J@",
    br"L9ECNA:CJ$?G?=KG-NFIC?87=#L-74C*6<=#1=),F)'K58=3++7#'4852.5#)#ND",
    br"?7=?@=91>..Q<9G?3?@3U78*./5-----*/8--.=-94***7R34-.*1987-/.1.1LD",
    br"K<ECP@?-K0=AFBNA0IGJ@D93F+C$-/M)-%8##$+4?8##/9?'1(##,611.%0#,$OF",
    br"F:G?N<<FJ*AAA<FH??IOE=;/D3=)A+L(#>D#5;64@A322KB61#A&+721/,,+*$OI",
    br"L;DBO?4GN(7E@:IC,KFGE6:;J/B'4(B&#>C##5##D+#E/'8*1,E0+=41.)3#.#PI",
    br"CFCEJDG+K)2JJM:K,MPN400<)-*),6#('&9##//J#B#>G?2###(#'5060+4#5$C=",
    br"O<C?S@A7O)1?I>DB2=AA0:;C.)M.-)J.')G##)3#?7#,6.(%'0%#,C?9?6B32(K@",
    br"LBABH>6FL5;BHJHG2HMC7166,4F;3<L&)AM#5:-3E-#I?&)&)))#-=44%55&'+KG",
    br"D=LCJA:CI*1CG;=K8?CQ;E8DD/0-57,1%)3''1>092%721/%,4)%1<A6:BD/@2RL",
    br">BB?A?9/?)3CFI?R+@MD64=/672%#'@#'%5##%-)9)'#()-%(+%)*712.,/*,)UN",
    br"HC@@U764C-0<<7I82;Q<98?7==>44-N-33?+0=83K0-/;27-<+-+:-60++2+1-JE",
    br"015.//)&/#(-5).0#341(*,###7GKJ6<H0G0@NKM)I,NKQC=AAD4*04,(-+'))E=",
    br"64;4551+5$*32/45(4;5/1-%%#M>G=N89:NG3P;;K=&GH?N701J125862041/2NG",
    br"529345.-4#214126%5:41/1##&L:C;O92MF,LI>9Q@6KENF;00?&-232-.0-.,IF",
    br">:><><45;)4:;79=-<?<667%&)K>;HS?C8M55E=9J=0FG@D;B7A%2773100,,,QJ",
    br"97<9;933:'17776;*9=;435)#,I>IJACA2;/8LFN;B@PNL7B@H?,+043)'0$&$MH",
    br"315523+-4##14-02%551.-1(,#J9?AKL=.Q-3H@>M:*KGEF15-A&1539..;-</RH",
    br":8>:;975:,09954<->>:454##(F8<5T5AFN#)FAIG:)JJDE22+:5+45.-&+)'#OL",
    br"86<787219#/89559)>@:213'&#P;<<Q651K&4=B9M:(HAQL27'A4-593).8$$%NF",
    br"*+12.,/%+##*-')-#/1*$(#&$#FDLHHEH+8,:KIRNE1ELO3D&B#F$2-4##1#-#B<",
    br"4/2-212.1/+44/7.);2..+0)+)J5A=U74;L.B345Q<97P<H5@+23058.2.2../KB",
    br";:?==:48='09:9;?4=D=668%')G7?AU=A5N22@:EA</?K@E9?89'/470)*-%+'PJ",
    br"74<778208)04645:(8;8531###L=9GQN;2O74M65NA)6FHH:24D))1/,)%+#/#KG",
    br"86;897419(+5644;*9<93320/*PG;?R48-L$3DF=KN16G@H601:'*35/*,/$)&LK",
    br"84;797029%07746:+9<:343('.J7JNNGM4H/A>:EH@07LPED8+<.'145&#,0##LE",
    br"325212,+2%(21,.2&3610/1#&#AAJJ5AC1A9DJMRGI$PGGJCG=?;$&-+####&#HB",
    br"739876246$.55228+8;6131###O8@AP9:CH#;K88LH.MLLJ:94D))3:3*+,###JD",
    br"836553716'/31424+4:3051+**8;@<<4606''N5;;:9BC9Y8>++:*453*./-'1MB",
    br"85<887209#558669*8;8332+'+O8ECQ=E1M'A@DBN<(HKIFB63G&'120(&)#$#LH",
    br"74:6771-6%(55336)7:7219##%D5F8R9:FK+?B<9GH:;JQG9:,D=)52.-(/&+#ON",
    br";8>;;:35<(18967<-:>;555)%'L4B>Q<3KN#.??4KG)LGID399H4*542*'1',#OG",
    br"+*/,))##.##')+&*#,/,##%###DKECLGA,H#-MKN=K#NNP2/)?%538.;*#8#:#@6",
    br"3/64332-2#+,14/80572,0+9%#Q8A8V:?0O&,:>8I9-8=:002:/6BC:H=9?64*I@",
    br";7@<:;17:%,=:9:<.B?<773*,+M>=>M98FQ,:@:LL>.NK=34E248)126+11-((OC",
    br"?8<;;B74:*-:;589.8?;34<'&$F7H<K<1:H&/7AC<M07=TA52?D-<?@99;45?0QK",
    br">=A??>88A07==<;@1>B?9=9+')>A>@D9=4>%.FEL@Q,;LL37=,672970*)*&)&SL",
    br"<4>=:926>-,675;A-@;775?-'+K7?AW=6:O)3?=9G=8<E;<A6/BD8.<..*-)-*ED",
    br"88997;/+0(6464,5*57-*+24-.>==><>304+5/47-8+253;*/N-,KHOGEHFBDHUK",
    br"88:<>;5./&;.4,04.275.026+&=;::8=.-5(-,4-.3/,206*.,*)KOMHHGMGDGTL",
    br"=;=B9?634,:7966;.=9;1792+.>==B<=76:/.6544906=989/;*+KMFFGLDCICTP",
    br";5>C6852;&026007)5;3/150**?<=A;>4251.44*-3-8C55,.8-)HFTEDCDBIETL",
    br"A=9;<?86<+99974;.D;79:9=.+>@>>?=62;0664484.;A9993B++IFFEGEFDHEUP",
    br"<6<>;;526*.;428B*7>>2-3410>?>@=>86:*3540.105D9805700NNHGGJQGGIPK",
    br"?:9958815,54;467*97=.020''<?;<=<243085852//5391819..FDDCVCDCDDSL",
    br"<=<99?2.3.315175.5621.5121CBCACF897672:;257;95867155JHIIIHIIILSM",
    br";>>A:>314*8460*A*7=4.065**?A=>>=377081;917/7:5360?7*REFEKENEFDRN",
    br"?9?;A:112-6/252</29/-7471-C@BCAC3579337873-156482735JKJIGIJLIOQN",
    br"EAFDDD?>E19ADCAF7DHDA?>6,1HFJFFFBCH8=FFDEH7HKHCCC946>><:655/3/H7",
    br"B@A?A?9:B35<@?<?.@C@=:@1.6CBGGDEG=D76CCE>H2FHF?>@9069@;9975245>V",
];

/// The byte that stands for "as often as in a random draw".
const ZERO: i32 = b'C' as i32;

/// Returns the mean surplus over the pairs of `value` in hundredths of a bit: the lower, the more random.
///
/// Values shorter than two bytes say nothing and score high.
pub(crate) fn pair_score(value: &[u8]) -> i32 {
    let pairs = i32::try_from(value.len().saturating_sub(1)).unwrap_or(i32::MAX);
    if pairs == 0 {
        return i32::MAX;
    }
    let sum: i32 = value
        .iter()
        .zip(value.iter().skip(1))
        .map(|(&first, &second)| surplus(first, second))
        .fold(0, i32::saturating_add);
    sum.saturating_mul(25) / pairs
}

/// Returns the surplus of one pair in quarters of a bit.
fn surplus(first: u8, second: u8) -> i32 {
    PAIRS
        .get(sign(first))
        .and_then(|row| row.get(sign(second)))
        .map_or(0, |&cell| i32::from(cell) - ZERO)
}

/// Returns the place of a byte in the table: upper case, lower case, digits, joiners, everything else.
fn sign(byte: u8) -> usize {
    let place = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'_' | b'-' | b'.' => 62,
        _ => 63,
    };
    usize::from(place)
}
